package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// errWords says that there is no more to say than what would be valid.
var errWords = errors.New("not of the type")

// setScalar sets v from text. lenient takes 1 and 0 for true and false, as
// people write in the environment.
func setScalar(v reflect.Value, text string, lenient bool) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if v.Type() == durationType {
		d, err := time.ParseDuration(text)
		if err != nil {
			return errWords
		}
		v.SetInt(int64(d))
		return nil
	}
	switch k := v.Kind(); {
	case k == reflect.String:
		v.SetString(text)
		return nil
	case k == reflect.Bool:
		return setBool(v, text, lenient)
	case v.CanFloat():
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return errWords
		}
		v.SetFloat(f)
		return nil
	}
	return setInteger(v, text)
}

func setBool(v reflect.Value, text string, lenient bool) error {
	switch text = strings.ToLower(text); {
	case text == "true", lenient && text == "1":
		v.SetBool(true)
	case text == "false", lenient && text == "0":
		v.SetBool(false)
	default:
		return errWords
	}
	return nil
}

func setInteger(v reflect.Value, text string) error {
	text = strings.ReplaceAll(text, "_", "")
	var err error
	if v.CanUint() {
		var u uint64
		if u, err = strconv.ParseUint(text, 10, v.Type().Bits()); err == nil {
			v.SetUint(u)
		}
	} else {
		var i int64
		if i, err = strconv.ParseInt(text, 10, v.Type().Bits()); err == nil {
			v.SetInt(i)
		}
	}
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%s does not fit, it has %d bits", abbreviate(text), v.Type().Bits())
	}
	if err != nil {
		return errWords
	}
	return nil
}

// scalarText writes v as setScalar reads it.
func scalarText(v reflect.Value) string {
	if !v.CanAddr() {
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		v = c
	}
	if m, ok := v.Addr().Interface().(encoding.TextMarshaler); ok {
		if text, err := m.MarshalText(); err == nil {
			return string(text)
		}
	}
	switch k := v.Kind(); {
	case v.Type() == durationType:
		return durationText(time.Duration(v.Int()))
	case k == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	case v.CanFloat():
		return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits())
	}
	return v.String()
}

// durationText is Duration.String without the zero parts: 1m0s is 1m.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// ordered says whether less knows the values of this type.
func ordered(v reflect.Value) bool { return v.CanInt() || v.CanUint() || v.CanFloat() }

func less(a, b reflect.Value) bool {
	switch {
	case a.CanInt():
		return a.Int() < b.Int()
	case a.CanUint():
		return a.Uint() < b.Uint()
	}
	return a.Float() < b.Float()
}
