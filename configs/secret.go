package configs

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/anneal-ml/anneal/policy"
)

// A Secret is a value, or where to find it: {env: NAME} or {file: PATH}. It is
// read when it is used, and does not print.
type Secret struct {
	value, env, file string
}

// Resolve reads the value; that of a file without the newline at its end.
func (s Secret) Resolve() (string, error) {
	switch {
	case s.env != "":
		value, ok := os.LookupEnv(s.env)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", s.env)
		}
		return value, nil
	case s.file != "":
		data, err := os.ReadFile(s.file)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
	}
	return s.value, nil
}

// Env is the environment variable that has the value; empty where none has.
func (s Secret) Env() string { return s.env }

// checkNamed reports a secret that is written in the settings.
func (s Secret) checkNamed(d *decoder, path string) {
	if s.value != "" {
		d.add(path, -1, "a secret is named here, not written: {env: NAME} or {file: PATH}")
	}
}

// String says where the secret is, not what it is.
func (s Secret) String() string {
	switch {
	case s.env != "":
		return "{env: " + s.env + "}"
	case s.file != "":
		return "{file: " + s.file + "}"
	}
	return "(set)"
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// there notes a variable that is not set here, and a file that is not here.
func (s Secret) there(d *decoder, path string) {
	if _, set := os.LookupEnv(s.env); s.env != "" && !set {
		d.note(policy.At(path, "env"), "the environment variable %s is not set here", s.env)
	}
	if s.file != "" {
		if _, err := os.Stat(s.file); err != nil {
			d.note(policy.At(path, "file"), "%s: %v", s.file, reason(err))
		}
	}
}

func (s *Secret) decode(d *decoder, n *node, path string) {
	switch n.kind {
	case boolean, number, text:
		s.value = n.raw
	case mapping:
		var from struct {
			Env  string `json:"env"`
			File string `json:"file"`
		}
		d.object(reflectOf(&from), n, path)
		if (from.Env == "") == (from.File == "") {
			d.report(n.line, n.column, "a secret is a value, {env: NAME} or {file: PATH}")
			return
		}
		s.env = from.Env
		if from.File != "" {
			s.file = relative(d.file, from.File)
		}
		s.there(d, path)
	default:
		d.wrong(n, "a value, {env: NAME} or {file: PATH}")
	}
}
