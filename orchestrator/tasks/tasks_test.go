package tasks

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

// The test binary is the shim of its own jobs.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "shim" {
		os.Exit(job.Run(os.Args[2]))
	}
	if len(os.Args) > 2 && os.Args[1] == "docker" { // see dock
		os.Exit(standInMain(os.Args[2:]))
	}
	if len(os.Args) == 3 && os.Args[1] == "daemon" { // see TestKillDaemon
		if err := daemon(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// folder is objects in a folder: s3://bucket/key is bucket/key.
type folder string

func (f folder) List(_ context.Context, prefix string) ([]string, error) {
	var all []string
	err := filepath.WalkDir(string(f), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(string(f), path)
		if uri := "s3://" + rel; strings.HasPrefix(uri, prefix) {
			all = append(all, uri)
		}
		return err
	})
	return all, err
}

func (f folder) file(uri string) string {
	return filepath.Join(string(f), strings.TrimPrefix(uri, "s3://"))
}

func (f folder) Open(_ context.Context, uri string) (io.ReadCloser, error) {
	r, err := os.Open(f.file(uri))
	if err != nil {
		return nil, err
	}
	return dated{r}, nil
}

// dated is a file with the time that it was written.
type dated struct{ *os.File }

func (d dated) ModTime() time.Time {
	info, err := d.Stat()
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (f folder) Write(_ context.Context, uri string, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(f.file(uri)), 0o700), os.WriteFile(f.file(uri), data, 0o600))
}

// bench is tasks over temporary folders.
type bench struct {
	*Tasks
	t       *testing.T
	objects folder
	work    string // where commands run
	mu      sync.Mutex
	told    []string // guarded by mu
}

type named struct{ kind, text string }

func (n named) Error() string     { return n.text }
func (n named) ErrorType() string { return n.kind }

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, objects: folder(t.TempDir()), work: t.TempDir()}
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	cfg := Config{
		Dir:  t.TempDir(),
		Shim: []string{exe, "shim"},
		Functions: map[string]Function{
			"Echo":    {Command: []string{"/bin/cat"}},
			"Built":   {Builtin: "double"},
			"Named":   {Builtin: "named"},
			"Panics":  {Builtin: "panics"},
			"Env":     {Command: sh(`printf '"%s %s"' "$AWS_LAMBDA_FUNCTION_NAME" "$MODE"`), Env: map[string]string{"MODE": "fast"}},
			"Typed":   {Command: sh(`echo '{"errorType": "TooFewRows", "errorMessage": "12"}'; exit 1`)},
			"Exit":    {Command: sh(`echo some; echo last words >&2; exit 7`)},
			"Slow":    {Command: sh(`sleep 60`), Timeout: 50 * time.Millisecond},
			"Garbage": {Command: sh(`echo not json`)},
			"Flood":   {Command: sh(`head -c 7000000 /dev/zero`)},
			"Absent":  {Command: []string{"./absent"}},
		},
		Images: map[string]Image{
			"training":   {Command: []string{"/bin/sh", "train.sh"}, Dir: b.work},
			"processing": {Command: []string{"/bin/sh", "process.sh"}, Dir: b.work},
		},
		Topics: map[string]string{"news": "team"},
		Grace:  200 * time.Millisecond,
		Builtins: map[string]Builtin{
			"double": func(_ context.Context, p json.RawMessage) (json.RawMessage, error) {
				return json.RawMessage(fmt.Sprintf("[%s,%s]", p, p)), nil
			},
			"named": func(context.Context, json.RawMessage) (json.RawMessage, error) {
				return nil, named{"NotSane", "no rows"}
			},
			"panics": func(context.Context, json.RawMessage) (json.RawMessage, error) { panic("a bug") },
		},
		Publish: func(_ context.Context, effect, topic, channel, subject, message string) error {
			if subject == "broken" {
				return errors.New("no disk")
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.told = append(b.told, strings.Join([]string{effect, topic, channel, subject, message}, "|"))
			return nil
		},
		Objects: b.objects,
	}
	if change != nil {
		change(&cfg)
	}
	if b.Tasks, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
		b.t.Fatal(err)
	}
}

// put writes an object.
func (b *bench) put(uri, text string) { b.write(b.objects.file(uri), text) }

// script is what an image's command runs.
func (b *bench) script(name, text string) { b.write(filepath.Join(b.work, name), text) }

func (b *bench) read(name string) string {
	b.t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}

func (b *bench) do(id, resource, input string) asl.Outcome {
	b.t.Helper()
	o, err := b.Do(b.t.Context(), asl.Effect{ID: id, State: "S", Resource: resource, Input: json.RawMessage(input)}, false, func(json.RawMessage) {})
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

const (
	lambdaInvoke = "arn:aws:states:::lambda:invoke"
	lambdaARN    = "arn:aws:lambda:us-east-1:123456789012:function:"
	trainSync    = "arn:aws:states:::sagemaker:createTrainingJob.sync"
	processSync  = "arn:aws:states:::sagemaker:createProcessingJob.sync"
	publish      = "arn:aws:states:::sns:publish"
)

func TestMatch(t *testing.T) {
	m := map[string]string{"Score": "exact", "Score*": "glob", "Score-*-v?": "longer", "arn:aws:lambda:*:function:Rank*": "by ARN", "*": "any"}
	for name, want := range map[string]string{
		"Score":                 "exact",
		lambdaARN + "Score":     "exact",
		lambdaARN + "Score:pro": "exact",
		"Scores":                "glob",
		"Score-churn-v2":        "longer",
		lambdaARN + "Rank":      "by ARN",
		"Rank":                  "any",
	} {
		if got, _ := match(m, functionNames(name)...); got != want {
			t.Errorf("%s matched %q, want %q", name, got, want)
		}
	}
	for uri, want := range map[string][]string{
		"123456789.dkr.ecr.us-east-1.amazonaws.com/ml/training:latest": {"training", "123456789.dkr.ecr.us-east-1.amazonaws.com/ml/training:latest", "123456789.dkr.ecr.us-east-1.amazonaws.com/ml/training"},
		"localhost:5000/training":                                      {"training", "localhost:5000/training", "localhost:5000/training"},
		"training@sha256:00":                                           {"training", "training@sha256:00", "training"},
	} {
		if diff := cmp.Diff(want, imageNames(uri)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", uri, diff)
		}
	}
	for _, g := range []struct {
		pattern, name string
		want          bool
	}{{"", "", true}, {"", "a", false}, {"*", "", true}, {"a*b*c", "aXbYbZc", true}, {"a*b", "abX", false}, {"**", "x", true}, {"?", "", false}} {
		if got := glob(g.pattern, g.name); got != g.want {
			t.Errorf("glob(%q, %q) = %v", g.pattern, g.name, got)
		}
	}
}

func TestFunctions(t *testing.T) {
	b := newBench(t, nil)
	tests := []struct {
		function, payload string
		output            string // where there is no error
		err               string
		cause             string // is in it
	}{
		{"Echo", `{"a":1}`, `{"a":1}`, "", ""},
		{"Built", `1`, `[1,1]`, "", ""},
		{"Env", `{}`, `"Env fast"`, "", ""},
		{"Named", `{}`, "", "NotSane", `{"errorMessage":"no rows","errorType":"NotSane","requestId":"`},
		{"Panics", `{}`, "", "Error", `panic: a bug`},
		{"Typed", `{}`, "", "TooFewRows", `{"errorType": "TooFewRows", "errorMessage": "12"}`},
		{"Exit", `{}`, "", "Runtime.ExitError", `Runtime exited with error: exit status 7\nlast words"`},
		{"Slow", `{}`, "", "Sandbox.Timedout", `Task timed out after 0.05 seconds`},
		{"Garbage", `{}`, "", "Runtime.MarshalError", `not json`},
		{"Flood", `{}`, "", "Function.ResponseSizeTooLarge", `(6291556 bytes)`},
		{"Absent", `{}`, "", "Runtime.InvalidEntrypoint", `no such file`},
		{"Unknown", `{}`, "", "Lambda.ResourceNotFoundException", "Function not found: " + lambdaARN + "Unknown (Service: AWSLambda; Status Code: 404; Error Code: ResourceNotFoundException; Request ID: "},
	}
	for _, tt := range tests {
		t.Run(tt.function, func(t *testing.T) {
			check := func(o asl.Outcome) {
				t.Helper()
				if o.Error != tt.err || !strings.Contains(o.Cause, tt.cause) || string(o.Output) != tt.output {
					t.Errorf("%+v (output %s), want output %s, error %s: %s", o, o.Output, tt.output, tt.err, tt.cause)
				}
			}
			check(b.do("direct-"+tt.function, lambdaARN+tt.function, tt.payload))
			o := b.do("invoke-"+tt.function, lambdaInvoke, fmt.Sprintf(`{"FunctionName": %q, "Payload": %s}`, lambdaARN+tt.function, tt.payload))
			if o.Error == "" {
				var out struct {
					ExecutedVersion string
					Payload         json.RawMessage
					StatusCode      int
					SdkHttpMetadata struct{ HttpStatusCode int }
				}
				if err := json.Unmarshal(o.Output, &out); err != nil || out.ExecutedVersion != "$LATEST" || out.StatusCode != 200 || out.SdkHttpMetadata.HttpStatusCode != 200 {
					t.Errorf("output %s: %v", o.Output, err)
				}
				o.Output = out.Payload
			}
			check(o)
		})
	}
}

func TestInvokeParameters(t *testing.T) {
	b := newBench(t, nil)
	for input, want := range map[string]string{
		`{}`: "States.Runtime: An error occurred while executing the state 'S'. The Parameters '{}' could not be used to start the Task: [The field 'FunctionName' is required but was missing]",
		`{"FunctionName": "Echo", "Playload": 1}`:              "[The field 'Playload' is not supported by Step Functions]",
		`{"FunctionName": 7}`:                                  "[The value for the field 'FunctionName' must be a STRING]",
		`{"FunctionName": "Echo", "InvocationType": "Later"}`:  `InvocationType "Later" is not built yet`,
		`{"FunctionName": "None", "InvocationType": "DryRun"}`: "Lambda.ResourceNotFoundException",
	} {
		o := b.do("e", lambdaInvoke, input)
		if got := o.Error + ": " + o.Cause; !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", input, got, want)
		}
	}
	if o := b.do("e2", lambdaInvoke, `{"FunctionName": "Echo", "LogType": "Tail"}`); !strings.Contains(string(o.Output), `"LogResult":""`) || !strings.Contains(string(o.Output), `"Payload":{}`) {
		t.Errorf("output %s, want an empty log and payload", o.Output)
	}
}

func TestPublish(t *testing.T) {
	b := newBench(t, nil)
	o := b.do("e1", publish, `{"TopicArn": "arn:aws:sns:us-east-1:1:news", "Subject": "s", "Message": {"b": 1, "a": "<x>"}}`)
	b.do("e2", publish, `{"TopicArn": "arn:aws:sns:us-east-1:1:news", "Message": "plain"}`)
	if diff := cmp.Diff([]string{
		`e1|arn:aws:sns:us-east-1:1:news|team|s|{"b": 1, "a": "<x>"}`,
		`e2|arn:aws:sns:us-east-1:1:news|team||plain`,
	}, b.told); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if o.Error != "" || !strings.Contains(string(o.Output), `"MessageId":"`) {
		t.Errorf("%+v", o)
	}
	for input, want := range map[string]string{
		`{"TopicArn": "arn:aws:sns:us-east-1:1:olds", "Message": "m"}`: "SNS.NotFoundException: Topic does not exist (Service: AmazonSNS; Status Code: 404; Error Code: NotFound; Request ID: ",
		`{"Message": "m"}`: "SNS.InvalidParameterException",
		`{"TopicArn": "arn:aws:sns:us-east-1:1:news", "Subject": "broken", "Message": "m"}`: "SNS.InternalErrorException: channel team: no disk",
		`{"TopicArn": "arn:aws:sns:us-east-1:1:news"}`:                                      "The field 'Message' is required",
	} {
		o := b.do("e", publish, input)
		if got := o.Error + ": " + o.Cause; !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", input, got, want)
		}
	}
}

// trainingJob is the parameters of a training job; change is merged into them.
func trainingJob(name, change string) string {
	return merge(fmt.Sprintf(`{
		"TrainingJobName": %q,
		"RoleArn": "arn:aws:iam::123456789:role/SageMakerRole",
		"AlgorithmSpecification": {"TrainingImage": "123456789.dkr.ecr.us-east-1.amazonaws.com/training:latest", "TrainingInputMode": "File"},
		"InputDataConfig": [{"ChannelName": "training", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/", "S3DataDistributionType": "FullyReplicated"}}}],
		"OutputDataConfig": {"S3OutputPath": "s3://data/models/"},
		"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 50},
		"StoppingCondition": {"MaxRuntimeInSeconds": 86400},
		"HyperParameters": {"epochs": "20", "learning-rate": "0.1", "loss": "log"}
	}`, name), change)
}

func merge(base, change string) string {
	var m, c map[string]any
	if err := json.Unmarshal([]byte(base), &m); err != nil {
		panic(err)
	}
	if change != "" {
		if err := json.Unmarshal([]byte(change), &c); err != nil {
			panic(err)
		}
	}
	for k, v := range c {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	return string(encode(m))
}

// described decodes the description in an outcome.
func described(t *testing.T, o asl.Outcome) map[string]any {
	t.Helper()
	text := string(o.Output)
	if o.Error != "" {
		if o.Error != "States.TaskFailed" {
			t.Fatalf("error %s: %s", o.Error, o.Cause)
		}
		text = o.Cause
	}
	var d map[string]any
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

func TestTraining(t *testing.T) {
	b := newBench(t, nil)
	b.put("s3://data/in/a.csv", "1,2\n")
	b.put("s3://data/in/sub/b.csv", "3,4\n")
	b.put("s3://data/other.csv", "no\n")
	b.script("train.sh", `
		cd "$ANNEAL_ML_ROOT"
		find input/data -type f | sort
		cat "$SM_CHANNEL_TRAINING"/a.csv input/config/*.json; echo
		echo "$TRAINING_JOB_NAME $SM_HPS $SM_HP_LEARNING_RATE $SM_CHANNELS $LANG"
		echo "epoch 1 loss=0.9"; echo "epoch 2 loss=0.5"
		mkdir "$SM_MODEL_DIR/deep"; echo weights >"$SM_MODEL_DIR/deep/w"; echo '#!' >"$SM_MODEL_DIR/run"; chmod +x "$SM_MODEL_DIR/run"
		echo '{"accuracy": 0.91, "note": "x"}' >"$SM_OUTPUT_DATA_DIR/metrics.json"`)
	input := trainingJob("train-1", `{"AlgorithmSpecification": {"TrainingImage": "training", "TrainingInputMode": "File",
		"MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}, {"Name": "absent", "Regex": "nothing=(.*)"}]}, "Tags": []}`)
	o := b.do("e1", trainSync, input)
	d := described(t, o)
	if o.Error != "" {
		t.Fatalf("failed: %s", o.Cause)
	}
	for name, want := range map[string]any{
		"TrainingJobName":   "train-1",
		"TrainingJobArn":    "arn:aws:sagemaker:us-east-1:123456789:training-job/train-1",
		"TrainingJobStatus": "Completed",
		"SecondaryStatus":   "Completed",
		"ModelArtifacts":    map[string]any{"S3ModelArtifacts": "s3://data/models/train-1/output/model.tar.gz"},
		"HyperParameters":   map[string]any{"epochs": "20", "learning-rate": "0.1", "loss": "log"},
		"OutputDataConfig":  map[string]any{"S3OutputPath": "s3://data/models/"},
		"Tags":              nil,
		"FailureReason":     nil,
	} {
		if diff := cmp.Diff(want, d[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	metrics := map[string]float64{}
	for _, m := range d["FinalMetricDataList"].([]any) {
		metrics[m.(map[string]any)["MetricName"].(string)] = m.(map[string]any)["Value"].(float64)
	}
	if diff := cmp.Diff(map[string]float64{"loss": 0.5, "accuracy": 0.91}, metrics); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	wantLog := `input/data/training/a.csv
input/data/training/sub/b.csv
1,2
{"epochs":"20","learning-rate":"0.1","loss":"log"}{"training":{"RecordWrapperType":"None","S3DistributionType":"FullyReplicated","TrainingInputMode":"File"}}{"current_host":"algo-1","current_instance_type":"ml.m5.large","hosts":["algo-1"],"network_interface_name":"lo"}
train-1 {"epochs":20,"learning-rate":0.1,"loss":"log"} 0.1 ["training"] C.UTF-8
epoch 1 loss=0.9
epoch 2 loss=0.5
`
	if diff := cmp.Diff(wantLog, b.read(filepath.Join(b.dir("e1"), job.Log))); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	model := b.read(b.objects.file("s3://data/models/train-1/output/model.tar.gz"))
	if diff := cmp.Diff([]string{"755 deep/ ", "644 deep/w weights\n", "755 run #!\n"}, untar(t, model)); diff != "" {
		t.Errorf("model (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(b.objects.file("s3://data/models/train-1/output/output.tar.gz")); err != nil {
		t.Error(err)
	}

	// The same effect gets the same job, and packs the same bytes.
	if again := b.do("e1", trainSync, input); string(again.Output) != string(o.Output) {
		t.Errorf("again: %s\nwant   %s", again.Output, o.Output)
	}
	if b.read(b.objects.file("s3://data/models/train-1/output/model.tar.gz")) != model {
		t.Error("the model was packed to other bytes")
	}
	// Another one does not get its name.
	o = b.do("e2", trainSync, input)
	if want := "Training job names must be unique within an AWS account and region, and a training job with this name already exists (arn:aws:sagemaker:us-east-1:123456789:training-job/train-1) (Service: AmazonSageMaker; Status Code: 400; Error Code: ResourceInUse; Request ID: "; o.Error != "SageMaker.ResourceInUseException" || !strings.HasPrefix(o.Cause, want) {
		t.Errorf("%s: %s", o.Error, o.Cause)
	}
}

func untar(t *testing.T, data string) []string {
	t.Helper()
	gz, err := gzip.NewReader(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := io.Copy(&text, tr); err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprintf("%o %s %s", h.Mode, h.Name, text.String()))
	}
}

func TestTrainingFails(t *testing.T) {
	tests := []struct {
		name, script, change string
		status, secondary    string
		reason               string
	}{
		{"with a reason", `echo "bad learning rate" >$ANNEAL_ML_ROOT/output/failure; exit 3`, "", "Failed", "Failed", "AlgorithmError: bad learning rate, exit code: 3"},
		{"with a log", `echo "Traceback: no"; exit 1`, "", "Failed", "Failed", "AlgorithmError: Traceback: no, exit code: 1"},
		{"by a signal", `kill -9 $$`, "", "Failed", "Failed", "AlgorithmError: , signal: killed"},
		{"out of time", `echo w >$SM_MODEL_DIR/w; sleep 60`, `{"StoppingCondition": {"MaxRuntimeInSeconds": 1}}`, "Stopped", "MaxRuntimeExceeded", ""},
		{"without data", `true`, `{"InputDataConfig": [{"ChannelName": "training", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/none/"}}}]}`,
			"Failed", "Failed", `ClientError: Data download failed: channel training: No S3 objects found under S3 URL "s3://data/none/" given in input data source`},
		{"metrics that are none", `echo '[' >$SM_MODEL_DIR/metrics.json`, "", "Failed", "Failed", "ClientError: model/metrics.json: unexpected end of JSON input"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.put("s3://data/in/a.csv", "1")
			b.script("train.sh", tt.script)
			o := b.do("e1", trainSync, trainingJob("job", tt.change))
			d := described(t, o)
			reason, _ := d["FailureReason"].(string)
			if o.Error == "" || d["TrainingJobStatus"] != tt.status || d["SecondaryStatus"] != tt.secondary || reason != tt.reason {
				t.Errorf("error %s, status %v, %v, reason %q, want %s, %s, %q", o.Error, d["TrainingJobStatus"], d["SecondaryStatus"], reason, tt.status, tt.secondary, tt.reason)
			}
			_, err := os.Stat(b.objects.file("s3://data/models/job/output/model.tar.gz"))
			if kept := err == nil; kept != (tt.status == "Stopped") {
				t.Errorf("model was kept: %v", kept)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	b := newBench(t, nil)
	tests := []struct{ resource, input, want string }{
		{trainSync, trainingJob("job", `{"RoleArn": null}`), "States.Runtime: An error occurred while executing the state 'S'. The Parameters '"},
		{trainSync, trainingJob("job", `{"RoleArn": null}`), "could not be used to start the Task: [The field 'RoleArn' is required but was missing]"},
		{trainSync, trainingJob("job", `{"OutputDataConfig": {}}`), "[The field 'S3OutputPath' is required but was missing]"},
		{trainSync, trainingJob("job", `{"HyperParameters": {"epochs": 20}}`), "[The value for the field 'epochs' must be a STRING]"},
		{trainSync, trainingJob("job", `{"InputDataConfig": [{"DataSource": {"S3DataSource": {"S3Uri": "s3://a"}}}]}`), "[The field 'ChannelName' is required but was missing, The field 'S3DataType' is required but was missing]"},
		{trainSync, trainingJob("job", `{"HyperParams": {}}`), "[The field 'HyperParams' is not supported by Step Functions]"},
		{trainSync, trainingJob("no_good", ""), "SageMaker.AmazonSageMakerException: 1 validation error detected: Value 'no_good' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: "},
		{trainSync, trainingJob("job", `{"AlgorithmSpecification": {"TrainingImage": "a/b:1", "TrainingInputMode": "File"}}`), `image "a/b:1" is not mapped here: add "b" under embedded.images`},
		{trainSync, trainingJob("job", `{"AlgorithmSpecification": {"TrainingImage": "training", "TrainingInputMode": "Pipe"}}`), `TrainingInputMode "Pipe" is not supported by local jobs (have File, FastFile)`},
		{processSync, processingJob("job", `{"ProcessingInputs": [{"InputName": "i", "S3Input": {"S3Uri": "s3://a", "S3DataType": "S3Prefix", "LocalPath": "/opt/ml/../../etc"}}]}`), `input "i": LocalPath: path "/opt/ml/../../etc" is not under /opt/ml/`},
		{"arn:aws:states:::glue:startJobRun.sync", `{}`, `resource "arn:aws:states:::glue:startJobRun.sync" is not built yet (have lambda:invoke, `},
	}
	for _, tt := range tests {
		o := b.do("e", tt.resource, tt.input)
		if got := o.Error + ": " + o.Cause; !strings.Contains(got, tt.want) {
			t.Errorf("%s\ngot  %s\nwant %s", tt.input, got, tt.want)
		}
	}
	if entries, _ := os.ReadDir(b.cfg.Dir); len(entries) != 0 {
		t.Errorf("what was refused left %v", entries)
	}
}

func processingJob(name, change string) string {
	return merge(fmt.Sprintf(`{
		"ProcessingJobName": %q,
		"RoleArn": "arn:aws:iam::123456789:role/SageMakerRole",
		"AppSpecification": {"ImageUri": "123456789.dkr.ecr.us-east-1.amazonaws.com/processing:latest", "ContainerArguments": ["--in", "/opt/ml/processing/input", "--out=/opt/ml/processing/output"]},
		"ProcessingInputs": [{"InputName": "raw", "S3Input": {"S3Uri": "s3://data/in/", "LocalPath": "/opt/ml/processing/input", "S3DataType": "S3Prefix", "S3InputMode": "File"}}],
		"ProcessingOutputConfig": {"Outputs": [{"OutputName": "clean", "S3Output": {"S3Uri": "s3://data/clean", "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}}]},
		"ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}}
	}`, name), change)
}

func TestProcessing(t *testing.T) {
	b := newBench(t, nil)
	b.put("s3://data/in/a.csv", "1")
	b.put("s3://data/list.manifest", `[{"prefix": "s3://data/"}, "in/a.csv"]`)
	b.script("process.sh", `
		out=${3#--out=}
		[ "$2" = "$ANNEAL_ML_ROOT/processing/input" ] || exit 9
		mkdir $out/deep; for f in $(cd $2; find . -type f); do echo done >>$out/deep/$(basename $f); done
		echo $PROCESSING_JOB_NAME >$out/name`)
	o := b.do("e1", processSync, processingJob("clean-1", ""))
	d := described(t, o)
	if o.Error != "" || d["ProcessingJobStatus"] != "Completed" || d["ProcessingJobArn"] != "arn:aws:sagemaker:us-east-1:123456789:processing-job/clean-1" {
		t.Errorf("%s %s %s", o.Error, o.Cause, o.Output)
	}
	if got := b.read(b.objects.file("s3://data/clean/deep/a.csv")) + b.read(b.objects.file("s3://data/clean/name")); got != "done\nclean-1\n" {
		t.Errorf("outputs %q", got)
	}
	o = b.do("e2", processSync, processingJob("clean-2", `{"ProcessingInputs": [{"InputName": "raw", "S3Input": {"S3Uri": "s3://data/list.manifest", "LocalPath": "/opt/ml/processing/input", "S3DataType": "ManifestFile"}}]}`))
	if o.Error != "" || b.read(filepath.Join(b.dir("e2"), "processing/input/in/a.csv")) != "1" {
		t.Errorf("with a manifest: %s %s", o.Error, o.Cause)
	}
	b.script("process.sh", "exit 2")
	o = b.do("e3", processSync, processingJob("clean-3", ""))
	if d := described(t, o); d["FailureReason"] != "AlgorithmError: , exit code: 2" || d["ProcessingJobStatus"] != "Failed" {
		t.Errorf("%v", d)
	}
	if o := b.do("e4", processSync, processingJob("clean-3", "")); !strings.HasPrefix(o.Cause, "Job name must be unique within an AWS account and region, and a job with this name already exists (arn:aws:sagemaker:us-east-1:123456789:processing-job/clean-3)") {
		t.Errorf("%s: %s", o.Error, o.Cause)
	}
}

func TestUnder(t *testing.T) {
	for _, tt := range [][3]string{
		{"s3://b/in/", "s3://b/in/a/b.csv", "a/b.csv"},
		{"s3://b/in", "s3://b/in/a.csv", "a.csv"},
		{"s3://b/in", "s3://b/input/a.csv", "input/a.csv"},
		{"s3://b/in/a.csv", "s3://b/in/a.csv", "a.csv"},
		{"s3://b", "s3://b/a.csv", "a.csv"},
	} {
		if got := under(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%s under %s is %s, want %s", tt[1], tt[0], got, tt[2])
		}
	}
}

// A job outlives whoever waits for it; the next one attaches.
func TestAttach(t *testing.T) {
	b := newBench(t, nil)
	b.put("s3://data/in/a.csv", "1")
	gate := filepath.Join(b.work, "gate")
	b.script("train.sh", "echo began; while ! [ -e "+gate+" ]; do sleep 0.02; done")
	e := asl.Effect{ID: "e1", Resource: trainSync, Input: json.RawMessage(trainingJob("job", ""))}
	ctx, cancel := context.WithCancel(t.Context())
	submitted := make(chan json.RawMessage, 2)
	go func() {
		for {
			if state, _, _ := job.Describe(b.dir("e1")); state == job.Running {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if o, err := b.Do(ctx, e, false, func(o json.RawMessage) { submitted <- o }); !errors.Is(err, context.Canceled) {
		t.Fatalf("%+v, %v", o, err)
	}
	if got := string(<-submitted); !strings.Contains(got, `"TrainingJobArn":"arn:aws:sagemaker:us-east-1:123456789:training-job/job"`) {
		t.Errorf("submitted %s", got)
	}
	b.write(gate, "")
	other, err := New(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	o, err := other.Do(t.Context(), e, true, func(json.RawMessage) {})
	if err != nil || o.Error != "" {
		t.Errorf("%+v, %v", o, err)
	}
	if log := b.read(filepath.Join(b.dir("e1"), job.Log)); log != "began\n" {
		t.Errorf("log %q, want one beginning", log)
	}
}

func TestStop(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Jobs = 1 })
	b.put("s3://data/in/a.csv", "1")
	b.script("train.sh", "trap '' TERM; while :; do sleep 0.1; done")
	outcomes := map[string]chan asl.Outcome{}
	for _, id := range []string{"runs", "waits"} {
		c := make(chan asl.Outcome, 1)
		outcomes[id] = c
		accepted := make(chan bool)
		go func() {
			o, err := b.Do(t.Context(), asl.Effect{ID: id, Resource: trainSync, Input: json.RawMessage(trainingJob(id, ""))}, false, func(json.RawMessage) { close(accepted) })
			if err != nil {
				t.Error(err)
			}
			c <- o
		}()
		<-accepted
		for id == "runs" {
			if state, _, _ := job.Describe(b.dir(id)); state == job.Running {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	b.Stop(t.Context(), "waits")
	b.Stop(t.Context(), "runs")
	for id, c := range outcomes {
		if o := <-c; o.Error == "" {
			t.Errorf("%s: %+v, want an error", id, o)
		}
	}
	if o, err := job.Wait(t.Context(), b.dir("runs")); err != nil || !o.Stopped {
		t.Errorf("outcome %+v, %v, want it stopped", o, err)
	}
	if state, _, _ := job.Describe(b.dir("waits")); state != job.New {
		t.Error("a job that waited was started")
	}
	// What was stopped before it was begun is not begun.
	b.Stop(t.Context(), "later")
	if o := b.do("later", trainSync, trainingJob("later", "")); o.Error == "" {
		t.Errorf("later: %+v", o)
	}
	if state, _, _ := job.Describe(b.dir("later")); state != job.New {
		t.Error("a job that was stopped first was started")
	}
}

// A folder on a full disk fails its task, and nothing else.
func TestFullDisk(t *testing.T) {
	b := newBench(t, nil)
	b.put("s3://data/in/a.csv", "1")
	b.script("train.sh", "true")
	for _, id := range []string{"job", "function"} {
		if err := errors.Join(os.MkdirAll(b.dir(id), 0o700), os.Symlink("/dev/full", filepath.Join(b.dir(id), "outcome.json.tmp"))); err != nil {
			t.Fatal(err)
		}
	}
	if d := described(t, b.do("job", trainSync, trainingJob("full", ""))); !strings.Contains(fmt.Sprint(d["FailureReason"]), "InternalServerError: launch job: take room for the outcome: ") {
		t.Errorf("%v", d)
	}
	if o := b.do("function", lambdaARN+"Echo", `1`); o.Error != "Lambda.ServiceException" || !strings.Contains(o.Cause, "no space left on device") {
		t.Errorf("%+v", o)
	}
	if o := b.do("other", trainSync, trainingJob("other", "")); o.Error != "" {
		t.Errorf("%+v", o)
	}
}

func TestDetached(t *testing.T) {
	b := newBench(t, nil)
	b.put("s3://data/in/a.csv", "1")
	b.script("train.sh", "echo w >$SM_MODEL_DIR/w")
	resource := strings.TrimSuffix(trainSync, ".sync")
	o := b.do("e1", resource, trainingJob("one", ""))
	if o.Error != "" || !strings.Contains(string(o.Output), `"TrainingJobArn":"arn:`) {
		t.Fatalf("%+v", o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }() // as after a restart
	b.do("e2", resource, trainingJob("two", ""))
	for _, name := range []string{"one", "two"} {
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
			_, err := os.Stat(b.objects.file("s3://data/models/" + name + "/output/model.tar.gz"))
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	for {
		if entries, _ := os.ReadDir(filepath.Join(b.cfg.Dir, ".detached")); len(entries) == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What is left of executions that are gone goes too; a detached job stays until
// it was seen to its end.
func TestPrune(t *testing.T) {
	b := newBench(t, nil)
	call := func(id, execution string) {
		t.Helper()
		e := asl.Effect{ID: id, Execution: execution, State: "S", Resource: lambdaARN + "Echo", Input: json.RawMessage(`{}`)}
		if _, err := b.Do(t.Context(), e, false, func(json.RawMessage) {}); err != nil {
			t.Fatal(err)
		}
	}
	call("e1", "gone")
	call("e2", "kept")
	call("e3", "gone")
	b.write(b.listed("e3"), "{}")
	b.Stop(t.Context(), "e4") // before it began
	age := func(id string, by time.Duration) {
		at := time.Now().Add(-by)
		err := filepath.WalkDir(b.dir(id), func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Chtimes(path, at, at))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"e1", "e2", "e3", "e4"} {
		age(id, time.Hour)
	}
	if n, err := b.Prune([]string{"gone"}); n != 1 || err != nil {
		t.Errorf("pruned %d, %v, want e1 alone", n, err)
	}
	age("e4", 48*time.Hour)
	if n, err := b.Prune(nil); n != 1 || err != nil {
		t.Errorf("pruned %d, %v, want e4 alone", n, err)
	}
	for id, want := range map[string]bool{"e1": false, "e2": true, "e3": true, "e4": false} {
		if _, err := os.Stat(b.dir(id)); (err == nil) != want {
			t.Errorf("folder of %s: %v", id, err)
		}
	}
}

func TestQueue(t *testing.T) {
	q := newQueue(1)
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	if err := q.enter(t.Context(), at(5), false); err != nil {
		t.Fatal(err)
	}
	if err := q.enter(t.Context(), at(6), true); err != nil { // runs already
		t.Fatal(err)
	}
	order := make(chan int)
	enter := func(ctx context.Context, s int) {
		n := len(q.waiting)
		go func() {
			if q.enter(ctx, at(s), false) == nil {
				order <- s
			} else {
				order <- -s
			}
		}()
		for {
			q.mu.Lock()
			in := len(q.waiting) > n
			q.mu.Unlock()
			if in {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	enter(t.Context(), 9)
	enter(ctx, 7)
	enter(t.Context(), 8)
	cancel()
	if got := <-order; got != -7 {
		t.Errorf("%d went, want 7 to give up", got)
	}
	q.leave() // two of one place
	q.leave()
	for _, want := range []int{8, 9} {
		if got := <-order; got != want {
			t.Errorf("%d went, want %d", got, want)
		}
		q.leave()
	}
	if q.free != 1 || len(q.waiting) != 0 {
		t.Errorf("%d places free, %d wait", q.free, len(q.waiting))
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := New(Config{
		Functions: map[string]Function{"A": {}, "B": {Builtin: "nope"}, "C": {Builtin: "yes", Command: []string{"x"}}, "D": {HTTP: &HTTP{URL: "ftp://host"}}},
		Images:    map[string]Image{"i": {}},
		Builtins:  map[string]Builtin{"yes": nil, "also": nil},
	})
	want := `function "A": set one of builtin, command and http
function "B": unknown builtin "nope" (have also, yes)
function "C": set one of builtin, command and http
function "D": "ftp://host" is not an http:// or https:// URL
image "i": set its command or container`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestCheck(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Machines = func() map[string]orchestrator.Machine { return map[string]orchestrator.Machine{"child": {}} }
	})
	tests := []struct{ resource, parameters, want string }{
		{lambdaInvoke, `{"FunctionName": "Echo"}`, ""},
		{lambdaInvoke, `{"FunctionName.$": "$.f"}`, ""},
		{lambdaInvoke, `{"Payload": 1}`, `state "S": parameter FunctionName is required by ` + lambdaInvoke},
		{lambdaInvoke, `{"FunctionName": "` + lambdaARN + `Ecko"}`, `state "S": function "` + lambdaARN + `Ecko" is not mapped here: add "Ecko" under embedded.functions`},
		{lambdaARN + "Ecko", `{}`, `state "S": function "` + lambdaARN + `Ecko" is not mapped here: add "Ecko" under embedded.functions`},
		{lambdaARN + "Echo", `{}`, ""},
		{trainSync, trainingJob("job", ""), ""},
		{trainSync, `{"TrainingJobName.$": "$.n"}`, `state "S": parameter AlgorithmSpecification is required by ` + trainSync},
		{trainSync, trainingJob("job", `{"OutputDataConfig": {}}`), `state "S": parameter OutputDataConfig.S3OutputPath is required by ` + trainSync},
		{processSync, processingJob("job", `{"AppSpecification": {"ImageUri": "x/y:z"}}`), `state "S": image "x/y:z" is not mapped here: add "y" under embedded.images`},
		{publish, `{"TopicArn": "arn:aws:sns:us-east-1:1:olds", "Message": ""}`, `state "S": topic "arn:aws:sns:us-east-1:1:olds" is not mapped here: add "olds" under embedded.topics`},
		{"arn:aws:states:::sqs:sendMessage", `{"MessageBody": "", "QueueUrl": "https://sqs.us-east-1.amazonaws.com/1/news"}`, ""},
		{"arn:aws:states:::sqs:sendMessage.waitForTaskToken", `{"MessageBody": "", "QueueUrl": "https://sqs.us-east-1.amazonaws.com/1/olds"}`,
			`state "S": queue "https://sqs.us-east-1.amazonaws.com/1/olds" is not mapped here: add "olds" under embedded.topics`},
		{lambdaInvoke + ".waitForTaskToken", `{"FunctionName": "Echo"}`, ""},
		{"arn:aws:states:::states:startExecution.sync:2", `{"StateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:child"}`, ""},
		{"arn:aws:states:::states:startExecution", `{"StateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:none"}`,
			`state "S": state machine "arn:aws:states:us-east-1:1:stateMachine:none" is not mapped here: add "none" under embedded.stateMachines`},
		{"arn:aws:states:::states:startExecution.sync:3", `{"StateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:child"}`, `is not built yet`},
		{"arn:aws:states:::sagemaker:createTrainingJob.waitForTaskToken", `{}`, `sagemaker has no .waitForTaskToken (have .sync)`},
		{"arn:aws:states:::glue:startJobRun.sync", `{}`, `state "S": resource "arn:aws:states:::glue:startJobRun.sync" is not built yet (have lambda:invoke, `},
	}
	for _, tt := range tests {
		m, err := asl.Parse([]byte(fmt.Sprintf(`{"StartAt": "S", "States": {"S": {"Type": "Task", "Resource": %q, "Parameters": %s, "End": true}}}`, tt.resource, tt.parameters)), "m")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := b.Check(m.Resources()[0]); err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s %s\ngot  %s\nwant %s", tt.resource, tt.parameters, got, tt.want)
		}
	}
}

// Whatever is sent, it is refused or understood.
func FuzzParameters(f *testing.F) {
	f.Add(trainingJob("job", ""))
	f.Add(processingJob("job", ""))
	f.Add(`{"FunctionName": "f", "Payload": [null]}`)
	f.Add(`{"InputDataConfig": [1, {"DataSource": []}], "HyperParameters": []}`)
	f.Fuzz(func(t *testing.T, input string) {
		for _, k := range []*jobKind{training, processing} {
			if k.fields.check(json.RawMessage(input)) != "" {
				continue
			}
			var r request
			if json.Unmarshal([]byte(input), &r) != nil {
				continue
			}
			k.check(r)
			imageNames(k.image(r))
		}
		invokeFields.check(json.RawMessage(input))
		publishFields.check(json.RawMessage(input))
		functionNames(input)
		topicNames(input)
		if !glob("*"+strings.NewReplacer("*", "?").Replace(input)+"*", input) {
			t.Errorf("%q is not covered by itself", input)
		}
	})
}
