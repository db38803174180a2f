package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

// A container is a job in a container, by the command line of Docker or Podman.
// Its name is the effect's, so that it is found again, and created at most
// once; it needs no shim, since it outlives who began it. Its folder is mounted
// as /opt/ml.
type container struct {
	t     *Tasks
	j     *mlJob
	image Image
	name  string
}

// The files of a container in its job's folder.
const (
	createdFile = "created"      // made when it had been created
	endedFile   = "outcome.json" // a job.Outcome, before it is removed
)

// containerLog is how much of its log the engine keeps, in bytes; it has two
// files of that size.
const containerLog = 8 << 20

func (t *Tasks) container(j *mlJob, image Image) *container {
	return &container{t: t, j: j, image: image, name: "anneal-" + j.effect.ID}
}

// cli runs the engine's command and returns what it printed.
func (c *container) cli(ctx context.Context, args ...string) (string, error) {
	return engineCommand(ctx, c.image.Container, nil, args...)
}

// errNoContainer says that there is no container of that name.
var errNoContainer = errors.New("no such container")

func engineCommand(ctx context.Context, engine string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, engine, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	err := cmd.Run()
	if err == nil {
		return strings.TrimSpace(out.String()), nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	said := strings.TrimSpace(problem.String())
	if lower := strings.ToLower(said); strings.Contains(lower, "no such container") || strings.Contains(lower, "no such object") || strings.Contains(lower, "no container with name") {
		return "", errNoContainer
	}
	if said == "" {
		said = err.Error()
	}
	return "", fmt.Errorf("%s %s: %.1000s", engine, args[0], said)
}

// A containerState is what the engine tells of a container.
type containerState struct {
	Status     string // created, running, exited, …
	ExitCode   int
	OOMKilled  bool
	Error      string
	StartedAt  time.Time
	FinishedAt time.Time
}

func (c *container) inspect(ctx context.Context) (s containerState, err error) {
	out, err := c.cli(ctx, "inspect", "--type", "container", "--format", "{{json .State}}", c.name)
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	return s, err
}

func (c *container) file(name string) string { return filepath.Join(c.j.dir, name) }

func (c *container) describe(ctx context.Context) (job.State, job.Outcome, error) {
	data, err := os.ReadFile(c.file(endedFile))
	if err == nil {
		var o job.Outcome
		err := json.Unmarshal(data, &o)
		return job.Ended, o, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return job.New, job.Outcome{}, err
	}
	if _, err := os.Stat(c.file(job.EffectFile)); errors.Is(err, fs.ErrNotExist) {
		return job.New, job.Outcome{}, nil
	}
	s, err := c.patiently(ctx, c.inspect)
	created, at := c.created()
	switch {
	case err == nil && s.Status == "created" && !created:
		// It was made and not started: nobody has seen it run.
		_, err := c.cli(ctx, "rm", "-f", c.name)
		return job.New, job.Outcome{}, err
	case err == nil:
		return job.Running, job.Outcome{}, c.mark()
	case !errors.Is(err, errNoContainer):
		return job.New, job.Outcome{}, err
	case created:
		return job.Ended, job.Outcome{Code: -1, Lost: true, Started: at}, nil
	}
	return job.New, job.Outcome{}, nil
}

func (c *container) created() (bool, time.Time) {
	info, err := os.Stat(c.file(createdFile))
	if err != nil {
		return false, time.Time{}
	}
	return true, info.ModTime()
}

// patiently asks the engine again while it cannot be reached: what was begun
// goes on meanwhile.
func (c *container) patiently(ctx context.Context, ask func(context.Context) (containerState, error)) (containerState, error) {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		s, err := ask(ctx)
		if err == nil || errors.Is(err, errNoContainer) || errors.Is(err, exec.ErrNotFound) || ctx.Err() != nil {
			return s, err
		}
		c.t.cfg.Log.WarnContext(ctx, "container not found out about, trying again", "effect", c.j.effect.ID, "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

func (c *container) launch(ctx context.Context, spec job.Spec) error {
	if err := openUp(c.j.dir); err != nil {
		return err
	}
	if err := c.t.note(c.j.effect, noted{Execution: c.j.effect.Execution, Container: c.name, Engine: c.image.Container}); err != nil {
		return err
	}
	args := []string{"run", "-d", "--name", c.name, "--label", "anneal.effect=" + c.j.effect.ID, "-v", c.j.dir + ":" + strings.TrimSuffix(mlRoot, "/")}
	if filepath.Base(c.image.Container) == "podman" {
		args = append(args, "--log-driver", "k8s-file", "--log-opt", "max-size="+strconv.Itoa(2*containerLog))
	} else {
		args = append(args, "--log-driver", "json-file", "--log-opt", "max-size="+strconv.Itoa(containerLog), "--log-opt", "max-file=2")
	}
	var env []string
	for _, v := range c.environ(spec.Env) {
		// By its name only, so that a secret is not in the list of processes.
		name, _, _ := strings.Cut(v, "=")
		if slices.Contains(hostNames, name) {
			args = append(args, "-e", v)
			continue
		}
		env, args = append(env, v), append(args, "-e", name)
	}
	entry, arguments := c.command()
	if len(entry) > 0 {
		args = append(args, "--entrypoint", entry[0])
		arguments = append(slices.Clone(entry[1:]), arguments...)
	}
	args = append(append(args, c.j.kind.image(c.j.in)), arguments...)
	if _, err := engineCommand(ctx, c.image.Container, env, args...); err != nil {
		if ctx.Err() == nil {
			c.cli(ctx, "rm", "-f", c.name) // what could not be started
		}
		return err
	}
	return c.mark()
}

// mark notes that the container was seen: when it is gone, it is lost.
func (c *container) mark() error {
	err := createFile(c.file(createdFile), nil)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// hostNames are the variables of a command that mean nothing in a container.
var hostNames = []string{"PATH", "HOME", "TMPDIR", "TZ"}

// environ is the environment of the command as it is in the container.
func (c *container) environ(env []string) []string {
	var out []string
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		if slices.Contains(hostNames, name) && c.image.Env[name] == "" && c.j.in.Environment[name] == "" {
			continue
		}
		out = append(out, name+"="+strings.ReplaceAll(value, c.j.dir, strings.TrimSuffix(mlRoot, "/")))
	}
	return out
}

// command is the entry point, if it is not the image's own, and its arguments.
func (c *container) command() (entry, arguments []string) {
	entry = c.image.Command
	a, p := c.j.in.AlgorithmSpecification, c.j.in.AppSpecification
	if len(entry) == 0 {
		entry = append(slices.Clone(a.ContainerEntrypoint), p.ContainerEntrypoint...)
	}
	arguments = append(slices.Clone(a.ContainerArguments), p.ContainerArguments...)
	if c.j.kind == training && len(entry) == 0 && len(arguments) == 0 {
		arguments = []string{"train"} // as SageMaker runs training images
	}
	return entry, arguments
}

func (c *container) wait(ctx context.Context) (job.Outcome, error) {
	s, err := c.patiently(ctx, c.inspect)
	if err != nil {
		return c.vanished(err)
	}
	var o job.Outcome
	limit := time.NewTimer(time.Until(s.StartedAt.Add(c.j.in.maxRuntime())))
	defer limit.Stop()
	ended := make(chan error, 1)
	waiting, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if ended != nil {
			<-ended
		}
	}()
	go func() {
		_, err := c.patiently(waiting, func(ctx context.Context) (containerState, error) {
			_, err := c.cli(ctx, "wait", c.name)
			return containerState{}, err
		})
		ended <- err
	}()
	for ended != nil {
		select {
		case err := <-ended:
			ended = nil
			if err != nil {
				return c.vanished(err)
			}
		case <-limit.C:
			o.TimedOut = true
			if err := c.t.stopContainer(ctx, c.image.Container, c.name); err != nil {
				c.t.cfg.Log.ErrorContext(ctx, "container not stopped", "effect", c.j.effect.ID, "err", err)
			}
		}
	}
	if s, err = c.patiently(ctx, c.inspect); err != nil {
		return c.vanished(err)
	}
	o.Code, o.Started, o.Ended = s.ExitCode, s.StartedAt, s.FinishedAt
	if o.Stopped, err = job.Stopped(c.j.dir); err != nil {
		return o, err
	}
	if s.OOMKilled {
		o.Signal = "killed, out of memory"
	}
	if s.Error != "" {
		o.Problem = s.Error
	}
	if err := c.keepLog(ctx); err != nil {
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		o.LogProblem = err.Error()
	}
	if err := createFile(c.file(endedFile), encode(o)); err != nil && !errors.Is(err, fs.ErrExist) {
		return o, err
	}
	if _, err := c.cli(ctx, "rm", "-f", c.name); err != nil && !errors.Is(err, errNoContainer) {
		c.t.cfg.Log.WarnContext(ctx, "container not removed", "effect", c.j.effect.ID, "err", err)
	}
	return o, nil
}

// vanished is the outcome of a container that is not there any more.
func (c *container) vanished(err error) (job.Outcome, error) {
	if !errors.Is(err, errNoContainer) {
		return job.Outcome{}, err
	}
	_, at := c.created()
	return job.Outcome{Code: -1, Lost: true, Started: at, Ended: time.Now().UTC()}, nil
}

// keepLog copies the log into the job's folder.
func (c *container) keepLog(ctx context.Context) error {
	log, err := job.CreateLog(c.j.dir, 0)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.image.Container, "logs", c.name)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = log, log, time.Second
	return errors.Join(cmd.Run(), log.Close())
}

// stopContainer ends a container: SIGTERM, then SIGKILL after the grace.
func (t *Tasks) stopContainer(ctx context.Context, engine, name string) error {
	seconds := strconv.Itoa(int((t.cfg.Grace + time.Second - 1) / time.Second))
	_, err := engineCommand(ctx, engine, nil, "stop", "-t", seconds, name)
	if errors.Is(err, errNoContainer) {
		return nil
	}
	return err
}

// openUp lets the user of a container use the folder, whoever that is; the
// folder it lies in is closed to others.
func openUp(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return os.Chmod(path, 0o777)
		case e.Type().IsRegular():
			return os.Chmod(path, 0o666)
		}
		return nil
	})
}
