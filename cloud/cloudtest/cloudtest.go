// Package cloudtest starts servers for tests that speak for AWS and are another's
// work. A server ends with its test, and has a port that nothing else on the machine
// takes meanwhile by chance.
package cloudtest

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Moto starts moto_server, which speaks for many of AWS's services, and returns its
// URL. Where it is missing the test is skipped, and fails under ANNEAL_STRICT=1.
func Moto(t testing.TB) (url string) {
	t.Helper()
	program, err := exec.LookPath("moto_server")
	if err != nil {
		if os.Getenv("ANNEAL_STRICT") != "" {
			t.Fatalf("moto_server is not there: pip install 'moto[server]': %v", err)
		}
		t.Skip("moto_server is not there; pip install 'moto[server]'")
	}
	return Start(t, "/moto-api/data.json", func(port string) *exec.Cmd {
		return exec.Command(program, "-H", "127.0.0.1", "-p", port)
	})
}

// Start starts the server that command makes for a port of 127.0.0.1, waits until it
// answers a GET of path, with whatever status, and returns its URL.
func Start(t testing.TB, path string, command func(port string) *exec.Cmd) (url string) {
	t.Helper()
	for range 10 {
		port := Port(t)
		cmd, log := command(port), &output{}
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		t.Cleanup(func() { cmd.Process.Kill(); <-ended })
		url := "http://127.0.0.1:" + port
		if err := await(url+path, ended); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, log)
		}
		select {
		case <-ended:
		default:
			return url
		}
		t.Logf("%s has ended, trying another port\n%s", cmd, log)
	}
	t.Fatal("the server does not start")
	return ""
}

// await returns when the URL answers, or the process that is to answer has ended.
func await(url string, ended <-chan struct{}) (err error) {
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); {
		var resp *http.Response
		if resp, err = http.Get(url); err == nil {
			return resp.Body.Close()
		}
		select {
		case <-ended:
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
	return err
}

// Port is a port of 127.0.0.1 that is free and stays so: it is below those that the
// system gives to whoever asks for any, as most tests and every connection do.
func Port(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// An output is what a process has written. Safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
