package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

// standIn is a command with the interface of Docker's, as far as it is used: a
// container is a folder and a process group, an image is a script of its name
// in the folder images, which finds /opt/ml at $OPT_ML.
func standIn(args []string) error {
	root := os.Getenv("STAND_IN")
	if _, err := os.Stat(filepath.Join(root, "down")); err == nil {
		return errors.New("Cannot connect to the Docker daemon")
	}
	name := args[len(args)-1]
	box := filepath.Join(root, "containers", name)
	if args[0] != "run" && args[0] != "monitor" {
		if _, err := os.Stat(box); err != nil {
			return fmt.Errorf("Error response from daemon: No such container: %s", name)
		}
	}
	read := func() (s containerState) {
		data, _ := os.ReadFile(filepath.Join(box, "state"))
		json.Unmarshal(data, &s) // stays empty until it is there
		return s
	}
	signal := func(sig syscall.Signal) {
		data, _ := os.ReadFile(filepath.Join(box, "pid"))
		if pid, err := strconv.Atoi(string(data)); err == nil && read().Status == "running" {
			syscall.Kill(-pid, sig)
		}
	}
	ended := func(d time.Duration) bool {
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if read().Status == "exited" {
				return true
			}
			if _, err := os.Stat(box); err != nil {
				return false // it was removed
			}
		}
		return false
	}
	switch args[0] {
	case "run":
		return standInRun(root, args[1:])
	case "monitor": // NAME
		return standInMonitor(box)
	case "inspect":
		fmt.Println(string(encode(read())))
	case "wait":
		ended(time.Hour)
		fmt.Println(read().ExitCode)
	case "logs":
		data, err := os.ReadFile(filepath.Join(box, "log"))
		os.Stdout.Write(data)
		return err
	case "stop": // -t SECONDS NAME
		grace, err := strconv.Atoi(args[2])
		if err != nil || args[1] != "-t" {
			return fmt.Errorf("stop %q", args)
		}
		signal(syscall.SIGTERM)
		if !ended(time.Duration(grace) * time.Second) {
			signal(syscall.SIGKILL)
			ended(time.Minute)
		}
	case "rm": // -f NAME
		signal(syscall.SIGKILL)
		ended(time.Second)
		return os.RemoveAll(box)
	default:
		return fmt.Errorf("unknown command %q", args[0])
	}
	return nil
}

type standInSpec struct {
	Command []string
	Env     []string
}

func standInRun(root string, args []string) error {
	var name, mount, entry string
	spec := standInSpec{Env: []string{"PATH=" + os.Getenv("PATH")}}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		if args[0] == "-d" {
			args = args[1:]
			continue
		}
		switch v := args[1]; args[0] {
		case "--name":
			name = v
		case "-v":
			mount, _, _ = strings.Cut(v, ":/opt/ml")
			spec.Env = append(spec.Env, "OPT_ML="+mount)
		case "-e":
			if !strings.Contains(v, "=") {
				v += "=" + os.Getenv(v)
			}
			spec.Env = append(spec.Env, v)
		case "--entrypoint":
			entry = v
		case "--label", "--log-driver", "--log-opt":
		default:
			return fmt.Errorf("unknown flag %s", args[0])
		}
		args = args[2:]
	}
	image := imageNames(args[0])[0]
	spec.Command = append([]string{"/bin/sh", filepath.Join(root, "images", image)}, args[1:]...)
	if entry != "" {
		spec.Command = append([]string{entry}, args[1:]...)
	} else if _, err := os.Stat(spec.Command[1]); err != nil {
		return fmt.Errorf("Unable to find image '%s' locally", args[0])
	}
	box := filepath.Join(root, "containers", name)
	if err := os.Mkdir(box, 0o700); err != nil {
		return fmt.Errorf("Conflict. The container name \"/%s\" is already in use", name)
	}
	if err := os.WriteFile(filepath.Join(box, "spec"), encode(spec), 0o600); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe, "docker", "monitor", name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(box, "state")); err == nil {
			fmt.Println(name)
			return nil
		}
	}
	return errors.New("it does not start")
}

func standInMonitor(box string) error {
	write := func(name string, data []byte) error {
		tmp := filepath.Join(box, name+".part")
		return errors.Join(os.WriteFile(tmp, data, 0o600), os.Rename(tmp, filepath.Join(box, name)))
	}
	data, err := os.ReadFile(filepath.Join(box, "spec"))
	if err != nil {
		return err
	}
	var spec standInSpec
	if err := json.Unmarshal(data, &spec); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(box, "log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(spec.Command[0], spec.Command[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = spec.Env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s := containerState{Status: "running", StartedAt: time.Now().UTC()}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := errors.Join(write("pid", []byte(strconv.Itoa(cmd.Process.Pid))), write("state", encode(s))); err != nil {
		return err
	}
	cmd.Wait()
	s.Status, s.FinishedAt, s.ExitCode = "exited", time.Now().UTC(), cmd.ProcessState.ExitCode()
	if s.ExitCode < 0 {
		s.ExitCode = 137
	}
	return write("state", encode(s))
}

// dock puts the stand-in on the PATH, and gives its folder.
func dock(t *testing.T, images map[string]string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	files := map[string]string{"bin/docker": "#!/bin/sh\nexec " + exe + " docker \"$@\"\n", "containers/.keep": ""}
	for name, script := range images {
		files["images/"+name] = script
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	t.Setenv("STAND_IN", root)
	t.Cleanup(func() {
		entries, _ := os.ReadDir(filepath.Join(root, "containers"))
		for _, e := range entries {
			exec.Command("docker", "rm", "-f", e.Name()).Run()
		}
	})
	return root
}

func dockedBench(t *testing.T, image Image) *bench {
	b := newBench(t, func(c *Config) {
		c.Images = map[string]Image{"training": image, "processing": image}
	})
	b.put("s3://data/a/1.csv", "1,2\n")
	b.put("s3://data/in/x", "1")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

const twoChannels = `{"InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/a/"}}}]}`

func TestContainers(t *testing.T) {
	root := dock(t, map[string]string{"training": `
		echo "arguments $*"
		echo "root $ANNEAL_ML_ROOT, channel $SM_CHANNEL_TRAIN, secret $SECRET, effect $ANNEAL_EFFECT_ID, job $TRAINING_JOB_NAME, home $HOME"
		cat $OPT_ML/input/data/train/1.csv >$OPT_ML/model/model
		cat $OPT_ML/input/config/hyperparameters.json`,
		"fails": `echo sorry >&2; exit 4`,
	})
	b := dockedBench(t, Image{Container: "docker", Env: map[string]string{"SECRET": "a b"}})
	o := b.do("e1", trainSync, trainingJob("job", twoChannels))
	if o.Error != "" || !strings.Contains(string(o.Output), `"TrainingJobStatus":"Completed"`) {
		t.Fatalf("%s: %s", o.Error, o.Cause)
	}
	log := b.read(filepath.Join(b.dir("e1"), job.Log))
	for _, want := range []string{"arguments train\n", "root /opt/ml, channel /opt/ml/input/data/train, secret a b, effect e1, job job, home \n"} {
		if !strings.Contains(log, want) {
			t.Errorf("log %q, want %q in it", log, want)
		}
	}
	if diff := untar(t, b.read(b.objects.file("s3://data/models/job/output/model.tar.gz"))); !slices.Equal(diff, []string{"644 model 1,2\n"}) {
		t.Errorf("model %q", diff)
	}
	if again := b.do("e1", trainSync, trainingJob("job", twoChannels)); string(again.Output) != string(o.Output) {
		t.Errorf("again: %+v, want the same", again)
	}
	if left, err := os.ReadDir(filepath.Join(root, "containers")); err != nil || len(left) != 1 {
		t.Errorf("containers left: %v, %v", left, err)
	}

	// The request's entry point, with its arguments as they are.
	o = b.do("e2", trainSync, trainingJob("job2", `{"AlgorithmSpecification": {"TrainingImage": "x/training:1", "TrainingInputMode": "File",
		"ContainerEntrypoint": ["/bin/echo", "one"], "ContainerArguments": ["/opt/ml/model"]}}`))
	if log := b.read(filepath.Join(b.dir("e2"), job.Log)); o.Error != "" || log != "one /opt/ml/model\n" {
		t.Errorf("%s: %s, log %q", o.Error, o.Cause, log)
	}

	b.cfg.Images["fails"] = Image{Container: "docker"}
	b.cfg.Images["absent"] = Image{Container: "docker"}
	b.cfg.Images["nowhere"] = Image{Container: "no-such-engine"}
	image := func(name string) string {
		return `{"AlgorithmSpecification": {"TrainingImage": "` + name + `", "TrainingInputMode": "File"}}`
	}
	for name, want := range map[string]string{
		"fails":   `AlgorithmError: sorry, exit code: 4`,
		"absent":  `InternalServerError: docker run: Unable to find image 'absent' locally`,
		"nowhere": `InternalServerError: no-such-engine run: exec: \"no-such-engine\": executable file not found in $PATH`,
	} {
		if o := b.do("e-"+name, trainSync, trainingJob("job-"+name, image(name))); o.Error != "States.TaskFailed" || !strings.Contains(o.Cause, want) {
			t.Errorf("%s: %s: %s, want %s", name, o.Error, o.Cause, want)
		}
	}
}

// A container outlives the daemon, and is found again; one that is gone is
// lost, and not begun again.
func TestContainerRecovery(t *testing.T) {
	root := dock(t, map[string]string{"training": `
		echo begun >>$OPT_ML/model/marks
		while [ ! -e $OPT_ML/model/go ]; do sleep 0.02; done`})
	b := dockedBench(t, Image{Container: "docker"})
	effect := asl.Effect{ID: "e1", State: "S", Resource: trainSync, Input: json.RawMessage(trainingJob("job", ""))}
	running := func(id string) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(b.dir(id), "model", "marks")); err == nil {
				return
			}
			if time.Now().After(end) {
				t.Fatal("the container does not begin")
			}
		}
	}
	for range 3 { // daemons that end
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := b.Do(ctx, effect, true, func(json.RawMessage) {})
			done <- err
		}()
		running("e1")
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	b.write(filepath.Join(root, "down"), "") // the engine is away for a while
	time.AfterFunc(300*time.Millisecond, func() { os.Remove(filepath.Join(root, "down")) })
	b.write(filepath.Join(b.dir("e1"), "model", "go"), "")
	o, err := b.Do(t.Context(), effect, true, func(json.RawMessage) {})
	if err != nil || o.Error != "" {
		t.Fatalf("%v, %s: %s", err, o.Error, o.Cause)
	}
	if marks := b.read(filepath.Join(b.dir("e1"), "model", "marks")); marks != "begun\n" {
		t.Errorf("it was begun %q", marks)
	}

	effect = asl.Effect{ID: "e2", State: "S", Resource: trainSync, Input: json.RawMessage(trainingJob("job2", ""))}
	lost := make(chan asl.Outcome)
	go func() {
		o, err := b.Do(t.Context(), effect, false, func(json.RawMessage) {})
		if err != nil {
			t.Error(err)
		}
		lost <- o
	}()
	running("e2")
	if out, err := exec.Command("docker", "rm", "-f", "anneal-e2").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if o := <-lost; o.Error != "States.TaskFailed" || !strings.Contains(o.Cause, "InternalServerError") {
		t.Errorf("%s: %s", o.Error, o.Cause)
	}
	if o := b.do("e2", trainSync, string(effect.Input)); !strings.Contains(o.Cause, "InternalServerError: the job's process was killed") {
		t.Errorf("it is not lost any more: %s: %s", o.Error, o.Cause)
	}
}

// A trainer that does not listen is killed after its grace, whether its effect
// was stopped or its time is over.
func TestContainerStop(t *testing.T) {
	root := dock(t, map[string]string{"training": `
		trap '' TERM
		echo $$ >$OPT_ML/model/pid.part; mv $OPT_ML/model/pid.part $OPT_ML/model/pid
		while :; do sleep 0.1; done`})
	b := dockedBench(t, Image{Container: "docker"})
	pid := func(id string) int {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if data, err := os.ReadFile(filepath.Join(b.dir(id), "model", "pid")); err == nil {
				n, err := strconv.Atoi(strings.TrimSpace(string(data)))
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
		t.Fatal("the container does not begin")
		return 0
	}
	gone := func(pid int) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d is still there", pid)
			}
		}
	}
	done := make(chan asl.Outcome)
	go func() { done <- b.do("e1", trainSync, trainingJob("job", "")) }()
	p := pid("e1")
	b.Stop(t.Context(), "e1")
	if o := <-done; o.Error != "States.TaskFailed" {
		t.Errorf("%+v", o)
	}
	gone(p)

	// Where its time is over before it has begun to say who it is, it is given more.
	for seconds := 1; ; seconds *= 4 {
		id := fmt.Sprint("e2-", seconds)
		o := b.do(id, trainSync, trainingJob("job-"+id, fmt.Sprintf(`{"StoppingCondition": {"MaxRuntimeInSeconds": %d}}`, seconds)))
		if o.Error != "States.TaskFailed" || !strings.Contains(o.Cause, `"SecondaryStatus":"MaxRuntimeExceeded"`) {
			t.Errorf("%+v", o)
		}
		if _, err := os.Stat(filepath.Join(b.dir(id), "model", "pid")); err == nil || seconds > 60 {
			gone(pid(id))
			break
		}
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		left, err := os.ReadDir(filepath.Join(root, "containers"))
		if err == nil && len(left) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("containers left: %v, %v", left, err)
		}
	}
	b.Stop(t.Context(), "e3")
	if o := b.do("e3", trainSync, trainingJob("job3", "")); o.Cause != wasStopped.Cause {
		t.Errorf("stopped before it began: %+v", o)
	}
}

// With Docker itself, where there is one.
func TestDocker(t *testing.T) {
	if out, err := exec.Command("docker", "image", "inspect", "busybox").CombinedOutput(); err != nil {
		t.Skipf("no docker with the image busybox: %s", out)
	}
	b := dockedBench(t, Image{Container: "docker", Command: []string{"/bin/sh", "-c", "echo 5 >/opt/ml/model/five"}})
	b.cfg.Images["busybox"] = b.cfg.Images["training"]
	o := b.do("docker-"+strconv.Itoa(os.Getpid()), trainSync, trainingJob("job", `{"AlgorithmSpecification": {"TrainingImage": "busybox", "TrainingInputMode": "File"}}`))
	if o.Error != "" {
		t.Errorf("%s: %s", o.Error, o.Cause)
	}
}

// standInMain is the stand-in as a process.
func standInMain(args []string) int {
	if err := standIn(args); err != nil {
		io.WriteString(os.Stderr, err.Error()+"\n")
		return 1
	}
	return 0
}
