package configs

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/anneal-ml/anneal/policy"
)

// Embedded configures what the embedded engine runs.
type Embedded struct {
	// AWS is what happens to a resource that nothing here stands in for: with deny
	// it is refused at load; with allow it goes to AWS, and may cost money. deny if
	// empty.
	AWS string `json:"aws" enum:"deny,allow"`
	// Role is the ARN of a role to assume where AWS is called. The daemon's own if
	// empty.
	Role Secret `json:"role"`
	// Jobs is how many local jobs run at a time; the rest queue. 2 if zero.
	Jobs int `json:"jobs,omitempty" min:"1"`
	// Functions stand in for Lambda functions: by exact name or ARN, then by
	// the longest glob.
	Functions map[string]Function `json:"functions"`
	// Images stand in for training and processing images: by the last
	// component of the repository without its tag, by URI, or by glob.
	Images map[string]Image `json:"images"`
	// Topics are the channels that stand for SNS topics and SQS queues, by
	// their name.
	Topics map[string]string `json:"topics"`
	// Connections are how HTTPS APIs are called, in place of EventBridge's connections:
	// by their name or ARN, or by the longest glob.
	Connections map[string]Connection `json:"connections"`
	// Hosts are those that any of them may lead to, those of AWS too; as a connection's
	// own hosts. All if none.
	Hosts []string `json:"hosts"`
	// StateMachines are the definitions of state machines that others begin
	// (states:startExecution): files by name, by ARN, or by the longest glob.
	// Those of policies are there by the policy's name.
	StateMachines map[string]File `json:"stateMachines"`

	// Listen is where the API of Step Functions is served; off loopback only
	// with Credentials. 127.0.0.1:8083 if empty, or any port that is free where the
	// daemon's own is; off: nowhere.
	Listen string `json:"listen"`
	// Credentials are the secret access keys that requests to the API are signed
	// with, by access key ID. Without any, on loopback, signatures are not checked.
	Credentials map[string]Secret `json:"credentials"`
	// Region and Account are those of the ARNs of what is and runs here, policies' runs
	// too. us-east-1 and 123456789012 if empty.
	Region  string `json:"region"`
	Account string `json:"account"`

	// Logs is where the API's executions are logged.
	Logs Logs `json:"logs"`
}

// A Function is what runs in place of a Lambda function: a Builtin, a Command or
// an endpoint over HTTP. A command runs in the folder of this file, without a
// shell.
type Function struct {
	Builtin string            `json:"builtin"`
	Command []string          `json:"command"`
	Env     map[string]Secret `json:"env"` // of the command
	HTTP    *HTTP             `json:"http"`
	Timeout policy.Duration   `json:"timeout"` // 15m if zero, as Lambda's longest

	Lambda notBuilt `json:"lambda"`
}

// HTTP is where a function answers as the Lambda runtime interface emulator
// does: the payload is posted, the answer is the result.
type HTTP struct {
	// URL is http:// or https://. Without a path, that of the emulator is used:
	// /2015-03-31/functions/function/invocations.
	URL     Secret            `json:"url"`
	Headers map[string]Secret `json:"headers"` // added to the request
}

// An Image is what runs in place of a container image: a Command, or the image
// itself in a Container.
type Image struct {
	Command []string          `json:"command"` // of a container: the entry point, in place of its own
	Env     map[string]Secret `json:"env"`
	// Container is docker or podman, whose command must be on the PATH.
	Container string `json:"container"`

	Kubernetes notBuilt `json:"kubernetes"`
}

func (e *Embedded) check(d *decoder, builtins []string, channels map[string]Channel) {
	switch e.AWS {
	case "deny", "allow":
	default:
		d.add("embedded.aws", -1, "unknown value %q (have allow, deny)", e.AWS)
	}
	e.checkListen(d)
	e.Logs.check(d)
	e.checkConnections(d)
	if e.Jobs < 0 {
		d.add("embedded.jobs", -1, "%d jobs: at least 1", e.Jobs)
	}
	for _, name := range sortedKeys(e.Functions) {
		path, f := policy.At("embedded.functions", name), e.Functions[name]
		checkGlob(d, path, name)
		checkEnv(d, path, f.Env)
		switch {
		case f.Builtin != "" && f.Command != nil || f.HTTP != nil && (f.Builtin != "" || f.Command != nil):
			d.add(path, -1, "a function is one of builtin, command and http")
		case f.Builtin != "":
			if !slices.Contains(builtins, f.Builtin) {
				d.add(path+".builtin", -1, "unknown builtin %q%s", f.Builtin, policy.Have(f.Builtin, builtins))
			}
		case f.HTTP != nil:
			f.HTTP.check(d, path+".http")
		case !d.refused(path, "http", "lambda", "command"):
			checkCommand(d, path, f.Command)
		}
	}
	for _, name := range sortedKeys(e.Images) {
		path, image := policy.At("embedded.images", name), e.Images[name]
		checkGlob(d, path, name)
		checkEnv(d, path, image.Env)
		switch {
		case image.Container != "":
			if image.Container != "docker" && image.Container != "podman" {
				d.add(path+".container", -1, "unknown value %q%s", image.Container, policy.Have(image.Container, []string{"docker", "podman"}))
			}
		case !d.refused(path, "container", "kubernetes", "command"):
			checkCommand(d, path, image.Command)
		}
	}
	for _, name := range sortedKeys(e.StateMachines) {
		checkGlob(d, policy.At("embedded.stateMachines", name), name)
	}
	for _, topic := range sortedKeys(e.Topics) {
		if _, ok := channels[e.Topics[topic]]; !ok {
			d.add(policy.At("embedded.topics", topic), -1, "unknown channel %q%s", e.Topics[topic], policy.Have(e.Topics[topic], sortedKeys(channels)))
		}
	}
}

func (h *HTTP) check(d *decoder, path string) {
	if h.URL == (Secret{}) {
		d.add(path, -1, "a URL is needed: http: {url: http://127.0.0.1:9000}")
	} else if h.URL.value != "" {
		if u, err := url.Parse(h.URL.value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			d.add(path+".url", -1, "%q is not an http:// or https:// URL", h.URL.value)
		}
	}
}

func checkCommand(d *decoder, path string, command []string) {
	if len(command) == 0 || command[0] == "" {
		d.add(path, -1, "a command is needed: command: [python3, train.py]")
	}
}

var secretName = regexp.MustCompile(`(?i)(^|_)(secret|password|passwd|token|api_key|secret_key|access_key|private_key)$`)

// checkEnv warns of what is named as a secret and written out.
func checkEnv(d *decoder, path string, env map[string]Secret) {
	for _, name := range sortedKeys(env) {
		if secretName.MatchString(name) && env[name].value != "" {
			d.warn(policy.At(path+".env", name), -1, fmt.Sprintf("a secret is not written here: write {env: %s} or {file: PATH}", name))
		}
	}
}

func checkGlob(d *decoder, path, pattern string) {
	if _, err := filepath.Match(pattern, ""); err != nil {
		d.add(path, -1, "%q is not a glob: %v", pattern, err)
	}
}
