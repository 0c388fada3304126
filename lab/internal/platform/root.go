package platform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// FindRoot finds the directory of the Keelson module, from the present one
// upwards.
func FindRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(text), "module github.com/keelson-dev/keelson\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the Keelson module: neither here nor above; run the lab as: go -C lab run ./")
		}
	}
}
