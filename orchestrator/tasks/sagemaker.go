package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

// A jobKind is what tells training and processing jobs apart.
type jobKind struct {
	noun   string // in ARNs: training-job
	prefix string // of field names: Training
	fields fields
	taken  string // what SageMaker says of a name that is in use, before the ARN

	image func(request) string
	// check says what SageMaker would refuse, beyond the fields.
	check func(request) string
	// prepare lays out the folder; the error is the reason of the failure.
	prepare func(context.Context, *Tasks, *mlJob, Image) (job.Spec, error)
	// collect takes what a job that ended with this status left behind, and
	// answers what that adds to the description; the error is the reason of
	// the failure. It may be called again.
	collect func(ctx context.Context, t *Tasks, j *mlJob, o job.Outcome, status string) (description, error)
}

// A request is what anneal itself reads of the parameters of a job.
type request struct {
	TrainingJobName, ProcessingJobName string
	RoleArn                            string
	Environment                        map[string]string
	StoppingCondition                  struct{ MaxRuntimeInSeconds int64 }

	AlgorithmSpecification struct {
		TrainingImage, TrainingInputMode string
		MetricDefinitions                []metricDefinition
		ContainerEntrypoint              []string
		ContainerArguments               []string
	}
	HyperParameters  map[string]string
	InputDataConfig  []channel
	OutputDataConfig struct{ S3OutputPath string }
	ResourceConfig   struct{ InstanceType string }

	AppSpecification struct {
		ImageUri            string
		ContainerEntrypoint []string
		ContainerArguments  []string
	}
	ProcessingInputs       []processingInput
	ProcessingOutputConfig struct{ Outputs []processingOutput }
	ProcessingResources    struct {
		ClusterConfig struct{ InstanceType string }
	}
}

// An mlJob is one SageMaker job. Its folder is the root of what it sees as
// /opt/ml.
type mlJob struct {
	kind    *jobKind
	effect  asl.Effect
	name    string
	arn     string
	dir     string
	created time.Time
	in      request
}

// A description is what Describe… would answer of the job.
type description map[string]any

var (
	jobName = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$`)
	account = regexp.MustCompile(`^arn:[^:]+:iam::(\d+):role/`)
)

// sync runs a job to its end.
func (t *Tasks) sync(ctx context.Context, e asl.Effect, k *jobKind, submitted func(json.RawMessage)) (asl.Outcome, error) {
	j, refused := t.accept(e, k)
	if refused != nil {
		return *refused, nil
	}
	submitted(j.accepted().Output)
	return t.follow(ctx, j)
}

// accept does what SageMaker does before it answers a Create… call: it checks
// the parameters, and gives the name away, for good. The effect that has the
// name gets the same job again.
func (t *Tasks) accept(e asl.Effect, k *jobKind) (*mlJob, *asl.Outcome) {
	refuse := func(o asl.Outcome) (*mlJob, *asl.Outcome) { return nil, &o }
	invalid := func(problem string) (*mlJob, *asl.Outcome) {
		return refuse(awsError("SageMaker", "AmazonSageMakerException", problem, "AmazonSageMaker", 400, "ValidationException", e.ID))
	}
	if problem := k.fields.check(e.Input); problem != "" {
		return refuse(runtimeError(e, problem))
	}
	j := &mlJob{kind: k, effect: e, dir: t.dir(e.ID)}
	if err := json.Unmarshal(e.Input, &j.in); err != nil {
		return refuse(runtimeError(e, err.Error()))
	}
	j.name = j.in.TrainingJobName + j.in.ProcessingJobName
	if !jobName.MatchString(j.name) {
		return invalid(fmt.Sprintf("1 validation error detected: Value '%s' at '%sJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", j.name, strings.ToLower(k.prefix)))
	}
	if problem := k.check(j.in); problem != "" {
		return invalid(problem)
	}
	if _, ok := match(t.cfg.Images, imageNames(k.image(j.in))...); !ok {
		return invalid(unmapped("image", k.image(j.in), "images", imageNames(k.image(j.in))[0]).Error())
	}
	owner := t.cfg.Account
	if m := account.FindStringSubmatch(j.in.RoleArn); m != nil {
		owner = m[1]
	}
	j.arn = fmt.Sprintf("arn:aws:sagemaker:%s:%s:%s/%s", t.cfg.Region, owner, k.noun, j.name)

	c, err := t.claim(k.noun, j.name, e.ID)
	switch {
	case err != nil:
		return refuse(awsError("SageMaker", "AmazonSageMakerException", err.Error(), "AmazonSageMaker", 500, "InternalFailure", e.ID))
	case c.Effect != e.ID:
		return refuse(awsError("SageMaker", "ResourceInUseException", k.taken+" ("+j.arn+")", "AmazonSageMaker", 400, "ResourceInUse", e.ID))
	}
	j.created = c.Created
	return j, nil
}

// A claim is who has a job's name.
type claim struct {
	Effect  string    `json:"effect"`
	Created time.Time `json:"created"`
}

// claim gives the name to the effect, or says who has it.
func (t *Tasks) claim(noun, name, effect string) (claim, error) {
	file := filepath.Join(t.cfg.Dir, ".names", noun, name)
	c := claim{Effect: effect, Created: time.Now().UTC().Truncate(time.Millisecond)}
	err := createFile(file, encode(c))
	if !errors.Is(err, fs.ErrExist) {
		return c, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return claim{}, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return claim{}, fmt.Errorf("read %s: %w", file, err)
	}
	return c, nil
}

// accepted is the answer to a Create… call.
func (j *mlJob) accepted() asl.Outcome {
	return result(j.effect.ID, map[string]any{j.kind.prefix + "JobArn": j.arn}, "application/x-amz-json-1.1", len(j.arn)+len(j.kind.prefix)+12)
}

// A runner runs a job: a local process under a shim, or a container.
type runner interface {
	describe(ctx context.Context) (job.State, job.Outcome, error)
	launch(ctx context.Context, spec job.Spec) error
	wait(ctx context.Context) (job.Outcome, error)
}

// local runs jobs as processes of this machine.
type local struct {
	t   *Tasks
	dir string
}

func (l local) describe(context.Context) (job.State, job.Outcome, error) { return job.Describe(l.dir) }
func (l local) launch(ctx context.Context, spec job.Spec) error {
	return job.Launch(ctx, l.t.cfg.Shim, l.dir, spec)
}
func (l local) wait(ctx context.Context) (job.Outcome, error) { return job.Wait(ctx, l.dir) }

// reap ends what a lost job left behind.
func (t *Tasks) reap(dir string) {
	if n, err := job.Reap(dir); err != nil {
		t.cfg.Log.Error("what a lost job left behind was not ended", "dir", dir, "err", err)
	} else if n > 0 {
		t.cfg.Log.Warn("what a lost job left behind was ended", "dir", dir, "processes", n)
	}
}

// follow takes an accepted job from wherever it is to its end.
func (t *Tasks) follow(ctx context.Context, j *mlJob) (asl.Outcome, error) {
	image, _ := match(t.cfg.Images, imageNames(j.kind.image(j.in))...)
	var r runner = local{t, j.dir}
	if image.Container != "" {
		r = t.container(j, image)
	}
	fails := func(err error) (asl.Outcome, error) {
		if ctx.Err() != nil {
			return asl.Outcome{}, ctx.Err()
		}
		return j.ended(job.Outcome{}, "Failed", "Failed", "InternalServerError: "+err.Error(), nil), nil
	}
	state, o, err := r.describe(ctx)
	if err != nil {
		return fails(err)
	}
	if state != job.Ended {
		if err := t.queue.enter(ctx, j.created, state == job.Running); err != nil {
			return asl.Outcome{}, err
		}
		defer t.queue.leave()
	}
	if state == job.New {
		begun := time.Now().UTC()
		spec, err := j.kind.prepare(ctx, t, j, image)
		reason := "ClientError: "
		if err == nil {
			reason = "InternalServerError: "
			spec.Execution = j.effect.Execution
			err = r.launch(ctx, spec)
			t.stopIfAsked(j.effect.ID)
		}
		if err != nil {
			if ctx.Err() != nil {
				return asl.Outcome{}, ctx.Err()
			}
			return j.ended(job.Outcome{Started: begun, Ended: time.Now().UTC()}, "Failed", "Failed", reason+err.Error(), nil), nil
		}
	}
	if state != job.Ended {
		if o, err = r.wait(ctx); err != nil {
			return fails(err)
		}
	}
	if o.Lost {
		t.reap(j.dir)
	}
	return t.conclude(ctx, j, o)
}

// conclude turns the end of a job's process into the end of the job.
func (t *Tasks) conclude(ctx context.Context, j *mlJob, o job.Outcome) (asl.Outcome, error) {
	status, secondary, reason := "Completed", "Completed", ""
	switch {
	case o.Lost:
		status, reason = "Failed", "InternalServerError: the job's process was killed, or the machine was stopped, while it ran; how far it came is not known"
	case o.Problem != "":
		status, reason = "Failed", "ClientError: the command could not be started: "+o.Problem
	case o.Stopped:
		status, secondary = "Stopped", "Stopped"
	case o.TimedOut:
		status, secondary = "Stopped", "MaxRuntimeExceeded"
	case o.Code != 0:
		status, reason = "Failed", "AlgorithmError: "+j.failure(o)
	}
	var added description
	if !o.Lost && o.Problem == "" {
		var err error
		if added, err = j.kind.collect(ctx, t, j, o, status); err != nil {
			if ctx.Err() != nil {
				return asl.Outcome{}, ctx.Err()
			}
			status, reason = "Failed", "ClientError: "+err.Error()
		}
	}
	if status == "Failed" {
		secondary = "Failed"
	}
	return j.ended(o, status, secondary, reason, added), nil
}

// failure is what the job says of its own failure: the file output/failure,
// else the end of the log.
func (j *mlJob) failure(o job.Outcome) string {
	const most = 1024 // letters, as SageMaker
	said, err := os.ReadFile(filepath.Join(j.dir, "output", "failure"))
	text := strings.TrimSpace(strings.ToValidUTF8(string(said), "\uFFFD"))
	if err != nil || text == "" {
		text = strings.TrimSpace(tail(filepath.Join(j.dir, job.Log), most))
	}
	if r := []rune(text); len(r) > most {
		text = string(r[:most])
	}
	if o.Signal != "" {
		return text + ", signal: " + o.Signal
	}
	return fmt.Sprintf("%s, exit code: %d", text, o.Code)
}

// ended is the outcome of the state: Describe…'s answer, as output where the
// job is completed and as cause where it is not.
func (j *mlJob) ended(o job.Outcome, status, secondary, reason string, added description) asl.Outcome {
	var d description
	if err := json.Unmarshal(j.effect.Input, &d); err != nil {
		return runtimeError(j.effect, err.Error()) // unreachable: accept decoded it
	}
	delete(d, "Tags") // Describe… has none
	maps.Copy(d, added)
	prefix := j.kind.prefix
	d[prefix+"JobArn"] = j.arn
	d[prefix+"JobStatus"] = status
	d["CreationTime"] = j.created.UnixMilli()
	d["LastModifiedTime"] = j.created.UnixMilli()
	if !o.Started.IsZero() {
		d[prefix+"StartTime"] = o.Started.UnixMilli()
	}
	if !o.Ended.IsZero() {
		d[prefix+"EndTime"] = o.Ended.UnixMilli()
		d["LastModifiedTime"] = o.Ended.UnixMilli()
	}
	if reason != "" {
		d["FailureReason"] = reason
	}
	if j.kind == training {
		d["SecondaryStatus"] = secondary
		seconds := int64(o.Ended.Sub(o.Started).Seconds() + 0.5)
		d["TrainingTimeInSeconds"], d["BillableTimeInSeconds"] = seconds, seconds
		d["SecondaryStatusTransitions"] = transitions(j, o, secondary, reason)
	} else if secondary == "MaxRuntimeExceeded" {
		d["ExitMessage"] = secondary
	}
	if status == "Completed" {
		return asl.Outcome{Output: encode(d)}
	}
	return asl.Outcome{Error: "States.TaskFailed", Cause: string(encode(d))}
}

// transitions is the job's life as SageMaker tells it.
func transitions(j *mlJob, o job.Outcome, last, reason string) []map[string]any {
	var all []map[string]any
	add := func(status string, from, to time.Time, message string) {
		if !from.IsZero() && !to.IsZero() {
			all = append(all, map[string]any{"Status": status, "StartTime": from.UnixMilli(), "EndTime": to.UnixMilli(), "StatusMessage": message})
		}
	}
	add("Starting", j.created, o.Started, "Preparing the instances for training")
	add("Training", o.Started, o.Ended, "Training image download completed. Training in progress.")
	messages := map[string]string{"Completed": "Training job completed", "Stopped": "Training job stopped", "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided", "Failed": reason}
	add(last, o.Ended, o.Ended, messages[last])
	return all
}

// maxRuntime is how long a job may run.
func (r request) maxRuntime() time.Duration {
	if s := r.StoppingCondition.MaxRuntimeInSeconds; s > 0 {
		return time.Duration(s) * time.Second
	}
	return 24 * time.Hour
}

// command is the image's command with the request's arguments, in which a path
// of the container is one of the job's folder.
func (j *mlJob) command(image Image, arguments []string) []string {
	command := append([]string(nil), image.Command...)
	for _, a := range arguments {
		if i := strings.Index(a, mlRoot); i == 0 || i > 0 && a[i-1] == '=' {
			a = a[:i] + j.dir + "/" + a[i+len(mlRoot):]
		}
		command = append(command, a)
	}
	return command
}

// mlRoot is what the job's folder is in a container.
const mlRoot = "/opt/ml/"

// local is where a path of the container is; it must not lead out of /opt/ml.
func (j *mlJob) local(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, mlRoot)
	if !ok || !filepath.IsLocal(rest) {
		return "", fmt.Errorf("path %q is not under %s", path, mlRoot)
	}
	return filepath.Join(j.dir, rest), nil
}
