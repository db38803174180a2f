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
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

// A channel is one input of a training job.
type channel struct {
	ChannelName, ContentType string
	DataSource               struct {
		S3DataSource *struct{ S3DataType, S3Uri string }
	}
}

var training = &jobKind{
	noun:   "training-job",
	prefix: "Training",
	taken:  "Training job names must be unique within an AWS account and region, and a training job with this name already exists",
	fields: fields{
		{"TrainingJobName", text, true},
		{"AlgorithmSpecification", object, true},
		{"AlgorithmSpecification.TrainingImage", text, true},
		{"AlgorithmSpecification.TrainingInputMode", text, true},
		{"AlgorithmSpecification.MetricDefinitions", array, false},
		{"AlgorithmSpecification.ContainerEntrypoint", array, false},
		{"AlgorithmSpecification.ContainerArguments", array, false},
		{"RoleArn", text, true},
		{"OutputDataConfig", object, true},
		{"OutputDataConfig.S3OutputPath", text, true},
		{"ResourceConfig", object, true},
		{"ResourceConfig.InstanceCount", number, false},
		{"ResourceConfig.InstanceType", text, false},
		{"ResourceConfig.VolumeSizeInGB", number, true},
		{"StoppingCondition", object, true},
		{"StoppingCondition.MaxRuntimeInSeconds", number, false},
		{"HyperParameters", texts, false},
		{"InputDataConfig", array, false},
		{"InputDataConfig[].ChannelName", text, true},
		{"InputDataConfig[].DataSource", object, true},
		{"InputDataConfig[].DataSource.S3DataSource.S3Uri", text, true},
		{"InputDataConfig[].DataSource.S3DataSource.S3DataType", text, true},
		{"Environment", texts, false},
		// Where it runs and who pays, which a local process has no part in.
		{"CheckpointConfig", object, false},
		{"DebugHookConfig", object, false},
		{"DebugRuleConfigurations", array, false},
		{"EnableInterContainerTrafficEncryption", boolean, false},
		{"EnableManagedSpotTraining", boolean, false},
		{"EnableNetworkIsolation", boolean, false},
		{"ExperimentConfig", object, false},
		{"ProfilerConfig", object, false},
		{"ProfilerRuleConfigurations", array, false},
		{"RetryStrategy", object, false},
		{"Tags", array, false},
		{"TensorBoardOutputConfig", object, false},
		{"VpcConfig", object, false},
	},
	image:   func(r request) string { return r.AlgorithmSpecification.TrainingImage },
	check:   checkTraining,
	prepare: prepareTraining,
	collect: collectTraining,
}

var channelName = regexp.MustCompile(`^[A-Za-z0-9.\-_]{1,64}$`)

func checkTraining(r request) string {
	if mode := r.AlgorithmSpecification.TrainingInputMode; mode != "File" && mode != "FastFile" {
		return fmt.Sprintf("TrainingInputMode %q is not supported by local jobs (have File, FastFile)", mode)
	}
	seen := map[string]bool{}
	for _, c := range r.InputDataConfig {
		switch {
		case !channelName.MatchString(c.ChannelName) || strings.Trim(c.ChannelName, ".") == "":
			return fmt.Sprintf("1 validation error detected: Value '%s' at 'inputDataConfig.channelName' failed to satisfy constraint: Member must satisfy regular expression pattern: [A-Za-z0-9\\.\\-_]+", c.ChannelName)
		case seen[c.ChannelName]:
			return fmt.Sprintf("Duplicate channel name '%s' in InputDataConfig", c.ChannelName)
		case c.DataSource.S3DataSource == nil:
			return fmt.Sprintf("channel %q: a DataSource other than S3DataSource is not supported by local jobs", c.ChannelName)
		}
		seen[c.ChannelName] = true
	}
	for _, m := range r.AlgorithmSpecification.MetricDefinitions {
		if _, err := regexp.Compile(m.Regex); err != nil {
			return fmt.Sprintf("metric %q: %v", m.Name, err)
		}
	}
	return ""
}

// prepareTraining lays out /opt/ml and gives the environment that SageMaker's
// training toolkit gives.
func prepareTraining(ctx context.Context, t *Tasks, j *mlJob, image Image) (job.Spec, error) {
	in := func(parts ...string) string { return filepath.Join(append([]string{j.dir}, parts...)...) }
	for _, dir := range []string{in("model"), in("output", "data"), in("input", "config"), in("input", "data")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return job.Spec{}, err
		}
	}
	env := map[string]string{
		"ANNEAL_ML_ROOT":            j.dir,
		"TRAINING_JOB_NAME":         j.name,
		"TRAINING_JOB_ARN":          j.arn,
		"SM_MODEL_DIR":              in("model"),
		"SM_INPUT_DIR":              in("input"),
		"SM_INPUT_CONFIG_DIR":       in("input", "config"),
		"SM_OUTPUT_DIR":             in("output"),
		"SM_OUTPUT_DATA_DIR":        in("output", "data"),
		"SM_CURRENT_HOST":           "algo-1",
		"SM_HOSTS":                  `["algo-1"]`,
		"SM_NETWORK_INTERFACE_NAME": "lo",
		"SM_NUM_CPUS":               strconv.Itoa(runtime.NumCPU()),
		"SM_NUM_GPUS":               "0",
		"SM_LOG_LEVEL":              "20",
	}
	channels, inputs := []string{}, map[string]any{}
	for _, c := range j.in.InputDataConfig {
		dir := in("input", "data", c.ChannelName)
		if err := t.stage(ctx, c.DataSource.S3DataSource.S3DataType, c.DataSource.S3DataSource.S3Uri, dir); err != nil {
			return job.Spec{}, fmt.Errorf("%s: channel %s: %w", downloadFailed, c.ChannelName, err)
		}
		channels = append(channels, c.ChannelName)
		env["SM_CHANNEL_"+shellName(c.ChannelName)] = dir
		about := map[string]string{"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
		if c.ContentType != "" {
			about["ContentType"] = c.ContentType
		}
		inputs[c.ChannelName] = about
	}
	slices.Sort(channels)
	env["SM_CHANNELS"] = string(encode(channels))

	// The toolkit reads numbers and lists out of the strings.
	values, arguments := map[string]any{}, []string{}
	for _, name := range slices.Sorted(maps.Keys(j.in.HyperParameters)) {
		s := j.in.HyperParameters[name]
		env["SM_HP_"+shellName(name)] = s
		arguments = append(arguments, "--"+name, s)
		if json.Valid([]byte(s)) {
			values[name] = json.RawMessage(s)
		} else {
			values[name] = s
		}
	}
	env["SM_HPS"], env["SM_USER_ARGS"] = string(encode(values)), string(encode(arguments))

	parameters := j.in.HyperParameters
	if parameters == nil {
		parameters = map[string]string{}
	}
	resources := hosts(j.in.ResourceConfig.InstanceType)
	for name, v := range map[string]any{"hyperparameters.json": parameters, "inputdataconfig.json": inputs, "resourceconfig.json": resources} {
		if err := os.WriteFile(in("input", "config", name), encode(v), 0o600); err != nil {
			return job.Spec{}, err
		}
	}
	env["SM_INPUT_DATA_CONFIG"], env["SM_RESOURCE_CONFIG"] = string(encode(inputs)), string(encode(resources))
	return job.Spec{
		Command: j.command(image, j.in.AlgorithmSpecification.ContainerArguments),
		Dir:     image.Dir,
		Env:     environ(j.effect.ID, env, j.in.Environment, image.Env),
		Timeout: j.in.maxRuntime(),
		Grace:   t.cfg.Grace,
	}, nil
}

// hosts is resourceconfig.json: a local job is a cluster of one.
func hosts(instance string) map[string]any {
	return map[string]any{
		"current_host":           "algo-1",
		"current_instance_type":  instance,
		"hosts":                  []string{"algo-1"},
		"network_interface_name": "lo",
	}
}

// shellName makes a name fit for a variable.
func shellName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToUpper(name))
}

// collectTraining packs the model and what lies in output/data, and reads the
// metrics. A stopped job leaves its model too, as on SageMaker.
func collectTraining(ctx context.Context, t *Tasks, j *mlJob, o job.Outcome, status string) (description, error) {
	metrics, err := j.metrics(o)
	if err != nil {
		return nil, err
	}
	d := description{"FinalMetricDataList": metrics}
	to := strings.TrimRight(j.in.OutputDataConfig.S3OutputPath, "/") + "/" + j.name + "/output/"
	data := filepath.Join(j.dir, "output", "data")
	if entries, err := os.ReadDir(data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	} else if len(entries) > 0 {
		if err := t.pack(ctx, data, to+"output.tar.gz"); err != nil {
			return nil, fmt.Errorf("%s: %w", uploadFailed, err)
		}
	}
	if status != "Failed" {
		if err := t.pack(ctx, filepath.Join(j.dir, "model"), to+"model.tar.gz"); err != nil {
			return nil, fmt.Errorf("%s: %w", uploadFailed, err)
		}
		d["ModelArtifacts"] = map[string]string{"S3ModelArtifacts": to + "model.tar.gz"}
	}
	return d, nil
}
