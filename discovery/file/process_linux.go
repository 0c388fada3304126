package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// startOf returns when a process started, in clock ticks since boot (field 22 of /proc/PID/stat, see proc_pid_stat(5)). A zombie counts as
// ended. The error wraps fs.ErrNotExist when there is no such process.
func startOf(pid int) (string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The name in field 2 may contain anything, so fields are counted from its closing parenthesis.
	i := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[i+1:]))
	if i < 0 || len(fields) < 20 {
		return "", fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return "", fmt.Errorf("process %d is a zombie: %w", pid, fs.ErrNotExist)
	}
	return fields[19], nil
}

// scope names the boot and the PID namespace: on another host, in another container and after a reboot a PID means another process.
func scope() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + ns
}

// ended reports whether a process of this scope is certainly over.
func ended(p process) bool {
	start, err := startOf(p.PID)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return p.Start != "" && start != p.Start
}
