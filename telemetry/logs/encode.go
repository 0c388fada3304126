package logs

import (
	"net"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// appendTime appends RFC 3339 in UTC with microseconds.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendDigits(dst, year, 4)
	dst = appendDigits(append(dst, '-'), int(month), 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), hour, 2)
	dst = appendDigits(append(dst, ':'), minute, 2)
	dst = appendDigits(append(dst, ':'), second, 2)
	dst = appendDigits(append(dst, '.'), t.Nanosecond()/1000, 6)
	return append(dst, 'Z')
}

func appendDigits(dst []byte, n, width int) []byte {
	at := len(dst)
	dst = append(dst, "000000"[:width]...)
	for i := at + width - 1; i >= at; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// appendString appends a JSON string. Invalid UTF-8 becomes U+FFFD. Control
// characters are escaped, also those that JSON lets through (DEL and C1, which
// steer terminals, and U+2028 and U+2029, which some take for line ends).
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= 0x20 && b != '"' && b != '\\' && b < 0x7f {
			i++
			continue
		}
		r, size := rune(b), 1
		if b >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
			if size > 1 && r > 0x9f && r != '\u2028' && r != '\u2029' {
				i += size
				continue
			}
		}
		dst = appendEscaped(append(dst, s[start:i]...), r)
		i += size
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// appendEscaped appends a character of the basic plane, escaped.
func appendEscaped(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, '\\', 'n')
	case '\t':
		return append(dst, '\\', 't')
	case '\r':
		return append(dst, '\\', 'r')
	default:
		return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
	}
}

func appendStringField(dst []byte, key, value string) []byte {
	return appendString(appendKey(dst, key), value)
}

func appendIntField(dst []byte, key string, value int64) []byte {
	return strconv.AppendInt(appendKey(dst, key), value, 10)
}

// appendKey appends a comma and a key that needs no escapes.
func appendKey(dst []byte, key string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, key...)
	return append(dst, '"', ':')
}

// appendHex appends a JSON string of hex digits.
func appendHexField(dst []byte, key string, raw []byte) []byte {
	dst = append(appendKey(dst, key), '"')
	for _, b := range raw {
		dst = append(dst, hex[b>>4], hex[b&15])
	}
	return append(dst, '"')
}

// appendPeer appends an address and its port under side.address and side.port.
func appendPeer(dst []byte, side string, peer net.Addr) []byte {
	dst = append(append(append(dst, ',', '"'), side...), `.address":`...)
	tcp, ok := peer.(*net.TCPAddr)
	if !ok || tcp == nil || tcp.Zone != "" {
		return appendString(dst, peer.String())
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return appendString(dst, tcp.String())
	}
	dst = append(ip.Unmap().AppendTo(append(dst, '"')), '"')
	dst = append(append(append(dst, ',', '"'), side...), `.port":`...)
	return strconv.AppendInt(dst, int64(tcp.Port), 10)
}

// cut shortens a text to a number of bytes, at a rune's border, with a mark.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}
