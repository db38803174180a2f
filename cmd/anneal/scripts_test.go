package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCommands are what the scripts of testdata can do besides testscript's
// own commands.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"status": scriptStatus,
	"ready":  scriptReady,
	"until":  scriptUntil,
	"fields": scriptFields,
	"take":   scriptTake,
}

// scriptStatus runs a command that has to end with a status:
//
//	status 2 anneal frob
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var ended *exec.ExitError
		if !errors.As(err, &ended) {
			ts.Fatalf("%v", err)
		}
		got = ended.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s ends with status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// scriptReady waits for the daemon whose data folder is named, and has the
// commands that follow ask it:
//
//	ready anneal-data
func scriptReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready DATA")
	}
	soon(ts, func() error {
		address, err := os.ReadFile(ts.MkAbs(args[0] + "/address"))
		if err != nil {
			return err
		}
		server := strings.TrimSpace(string(address))
		resp, err := http.Get(server + "/readyz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %d", resp.StatusCode)
		}
		ts.Setenv("ANNEAL_SERVER", server)
		return nil
	})
}

// scriptUntil runs a command until it prints a text:
//
//	until SUCCEEDED anneal runs list
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until TEXT COMMAND [ARG…]")
	}
	soon(ts, func() error {
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			return err
		}
		if !strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return fmt.Errorf("%s does not print %q", strings.Join(args[1:], " "), args[0])
		}
		return nil
	})
}

// scriptFields checks that standard output is a JSON array that is not empty,
// and that all that is under a path is there in each item. A path goes by
// dots, `[]` for each of an array, `{}` for each of an object. With `?` at its
// end it has to be there in one item:
//
//	fields id rules[].clauses[].expr until?
func scriptFields(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fields PATH…")
	}
	var items []any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &items); err != nil {
		ts.Fatalf("standard output is no JSON array: %v", err)
	}
	if len(items) == 0 {
		ts.Fatalf("the array is empty")
	}
	for _, path := range args {
		path, some := strings.CutSuffix(path, "?")
		found := 0
		for i, item := range items {
			switch err := walk(item, strings.Split(path, ".")); {
			case err == nil:
				found++
			case !some:
				ts.Fatalf("item %d has no %s: %v", i, path, err)
			}
		}
		if found == 0 {
			ts.Fatalf("no item has %s", path)
		}
	}
}

// walk follows a path through JSON, and has to find something at its end.
func walk(v any, path []string) error {
	if len(path) == 0 {
		return nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%v is no object, and %q is asked of it", v, path[0])
	}
	name, array := strings.CutSuffix(path[0], "[]")
	name, each := strings.CutSuffix(name, "{}")
	v, ok = object[name]
	if !ok {
		return fmt.Errorf("no %q", name)
	}
	var inner []any
	switch v := v.(type) {
	case []any:
		inner = v
	case map[string]any:
		for _, value := range v {
			inner = append(inner, value)
		}
	}
	if !array && !each {
		return walk(v, path[1:])
	}
	if len(inner) == 0 {
		return fmt.Errorf("%q is empty", name)
	}
	for _, value := range inner {
		if err := walk(value, path[1:]); err != nil {
			return err
		}
	}
	return nil
}

// scriptTake sets a variable to a field of the first item of the JSON array in
// standard output:
//
//	take RUN id
func scriptTake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: take VARIABLE FIELD")
	}
	var items []map[string]any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &items); err != nil || len(items) == 0 {
		ts.Fatalf("standard output is no JSON array with an item: %v", err)
	}
	ts.Setenv(args[0], fmt.Sprint(items[0][args[1]]))
}

// soon waits for ok to have nothing to complain of.
func soon(ts *testscript.TestScript, ok func() error) {
	for deadline := time.Now().Add(5 * time.Minute); ; {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
