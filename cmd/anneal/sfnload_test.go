package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A load asks the API of Step Functions as cheaply as can be: as load generators do, it
// writes a request of the service's own wire to a connection that stays open, and reads
// the answer whole. Requests are not signed: nobody checks on loopback. The SDK's client
// does the same for four times the work.
type load struct {
	b       *testing.B
	address string // HOST:PORT
	machine string // ARN
}

// connections is how many a load has open at a time.
const connections = 16

// start starts executions named prefix-0 and on, all of which are durable when it
// returns.
func (l load) start(prefix string, executions int) {
	l.b.Helper()
	var starters sync.WaitGroup
	for first := range min(connections, executions) {
		starters.Go(func() {
			if err := l.some(prefix, first, executions); err != nil {
				l.b.Error(err)
			}
		})
	}
	starters.Wait()
}

// some starts each sixteenth execution from one on, over one connection.
func (l load) some(prefix string, from, executions int) error {
	c, err := l.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	for i := from; i < executions; i += connections {
		if _, err := c.call("StartExecution", fmt.Sprintf(`{"stateMachineArn":%q,"name":"%s-%d","input":"{}"}`, l.machine, prefix, i)); err != nil {
			return err
		}
	}
	return nil
}

// await waits until no execution runs.
func (l load) await() {
	l.b.Helper()
	c, err := l.dial()
	if err != nil {
		l.b.Fatal(err)
	}
	defer c.Close()
	for ; ; time.Sleep(2 * time.Millisecond) {
		running, err := c.call("ListExecutions", fmt.Sprintf(`{"stateMachineArn":%q,"statusFilter":"RUNNING","maxResults":1}`, l.machine))
		if err != nil {
			l.b.Fatal(err)
		}
		if !bytes.Contains(running, []byte("executionArn")) {
			return
		}
	}
}

// A caller is one connection.
type caller struct {
	net.Conn
	host    string
	answers *bufio.Reader
	request []byte // room for one
}

func (l load) dial() (*caller, error) {
	conn, err := net.Dial("tcp", l.address)
	if err != nil {
		return nil, err
	}
	return &caller{Conn: conn, host: l.address, answers: bufio.NewReader(conn)}, nil
}

// call does an operation and returns the body of its answer, which is good until the
// next call. Anything but 200 is an error.
func (c *caller) call(operation, body string) ([]byte, error) {
	c.request = fmt.Appendf(c.request[:0], "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-amz-json-1.0\r\n"+
		"X-Amz-Target: AWSStepFunctions.%s\r\nContent-Length: %d\r\n\r\n%s", c.host, operation, len(body), body)
	if _, err := c.Write(c.request); err != nil {
		return nil, err
	}
	status, length := "", -1
	for {
		line, err := c.answers.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("read the answer to %s: %w", operation, err)
		}
		line = bytes.TrimSuffix(line, []byte("\r\n"))
		if status == "" {
			status = string(line)
		} else if text, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(text)); err != nil {
				return nil, err
			}
		} else if len(line) == 0 {
			break
		}
	}
	if length < 0 {
		return nil, fmt.Errorf("the answer to %s has no length", operation)
	}
	answer, err := c.answers.Peek(length)
	if err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", operation, err)
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200 ") {
		return nil, fmt.Errorf("%s is answered %q with %s", operation, status, answer)
	}
	_, err = c.answers.Discard(length)
	return answer, err
}
