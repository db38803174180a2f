package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

type processingInput struct {
	InputName  string
	AppManaged bool
	S3Input    *struct{ S3Uri, LocalPath, S3DataType, S3InputMode string }
}

type processingOutput struct {
	OutputName string
	AppManaged bool
	S3Output   *struct{ S3Uri, LocalPath string }
}

var processing = &jobKind{
	noun:   "processing-job",
	prefix: "Processing",
	taken:  "Job name must be unique within an AWS account and region, and a job with this name already exists",
	fields: fields{
		{"ProcessingJobName", text, true},
		{"AppSpecification", object, true},
		{"AppSpecification.ImageUri", text, true},
		{"AppSpecification.ContainerEntrypoint", array, false},
		{"AppSpecification.ContainerArguments", array, false},
		{"RoleArn", text, true},
		{"ProcessingResources", object, true},
		{"ProcessingResources.ClusterConfig", object, true},
		{"ProcessingResources.ClusterConfig.InstanceCount", number, true},
		{"ProcessingResources.ClusterConfig.InstanceType", text, true},
		{"ProcessingResources.ClusterConfig.VolumeSizeInGB", number, true},
		{"ProcessingInputs", array, false},
		{"ProcessingInputs[].InputName", text, true},
		{"ProcessingInputs[].S3Input.S3Uri", text, true},
		{"ProcessingInputs[].S3Input.S3DataType", text, true},
		{"ProcessingOutputConfig", object, false},
		{"ProcessingOutputConfig.Outputs", array, true},
		{"ProcessingOutputConfig.Outputs[].OutputName", text, true},
		{"ProcessingOutputConfig.Outputs[].S3Output.S3Uri", text, true},
		{"StoppingCondition", object, false},
		{"StoppingCondition.MaxRuntimeInSeconds", number, true},
		{"Environment", texts, false},
		// Where it runs and who pays, which a local process has no part in.
		{"ExperimentConfig", object, false},
		{"NetworkConfig", object, false},
		{"Tags", array, false},
	},
	image:   func(r request) string { return r.AppSpecification.ImageUri },
	check:   checkProcessing,
	prepare: prepareProcessing,
	collect: collectProcessing,
}

func checkProcessing(r request) string {
	j := &mlJob{dir: "/"}
	for _, in := range r.ProcessingInputs {
		if in.AppManaged {
			continue
		}
		if in.S3Input == nil {
			return fmt.Sprintf("input %q: a source other than S3Input is not supported by local jobs", in.InputName)
		}
		if mode := in.S3Input.S3InputMode; mode != "" && mode != "File" {
			return fmt.Sprintf("input %q: S3InputMode %q is not supported by local jobs (have File)", in.InputName, mode)
		}
		if _, err := j.local(in.S3Input.LocalPath); err != nil {
			return fmt.Sprintf("input %q: LocalPath: %v", in.InputName, err)
		}
	}
	for _, out := range r.ProcessingOutputConfig.Outputs {
		if out.AppManaged {
			continue
		}
		if out.S3Output == nil {
			return fmt.Sprintf("output %q: a destination other than S3Output is not supported by local jobs", out.OutputName)
		}
		if _, err := j.local(out.S3Output.LocalPath); err != nil {
			return fmt.Sprintf("output %q: LocalPath: %v", out.OutputName, err)
		}
	}
	return ""
}

// prepareProcessing lays out the declared paths. The image's command stands
// for the container's entry point, the request's too.
func prepareProcessing(ctx context.Context, t *Tasks, j *mlJob, image Image) (job.Spec, error) {
	for _, in := range j.in.ProcessingInputs {
		if in.AppManaged {
			continue
		}
		dir, err := j.local(in.S3Input.LocalPath)
		if err != nil {
			return job.Spec{}, err
		}
		if err := t.stage(ctx, in.S3Input.S3DataType, in.S3Input.S3Uri, dir); err != nil {
			return job.Spec{}, fmt.Errorf("%s: input %s: %w", downloadFailed, in.InputName, err)
		}
	}
	for _, out := range j.in.ProcessingOutputConfig.Outputs {
		if out.AppManaged {
			continue
		}
		dir, err := j.local(out.S3Output.LocalPath)
		if err != nil {
			return job.Spec{}, err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return job.Spec{}, err
		}
	}
	config := filepath.Join(j.dir, "config")
	if err := os.MkdirAll(config, 0o700); err != nil {
		return job.Spec{}, err
	}
	var asked map[string]any
	if err := json.Unmarshal(j.effect.Input, &asked); err != nil {
		return job.Spec{}, err
	}
	asked["ProcessingJobArn"] = j.arn
	for name, v := range map[string]any{
		"processingjobconfig.json": asked,
		"resourceconfig.json":      hosts(j.in.ProcessingResources.ClusterConfig.InstanceType),
	} {
		if err := os.WriteFile(filepath.Join(config, name), encode(v), 0o600); err != nil {
			return job.Spec{}, err
		}
	}
	env := map[string]string{"ANNEAL_ML_ROOT": j.dir, "PROCESSING_JOB_NAME": j.name, "PROCESSING_JOB_ARN": j.arn}
	return job.Spec{
		Command: j.command(image, j.in.AppSpecification.ContainerArguments),
		Dir:     image.Dir,
		Env:     environ(j.effect.ID, env, j.in.Environment, image.Env),
		Timeout: j.in.maxRuntime(),
		Grace:   t.cfg.Grace,
	}, nil
}

// collectProcessing writes the declared outputs, file by file.
func collectProcessing(ctx context.Context, t *Tasks, j *mlJob, _ job.Outcome, status string) (description, error) {
	if status != "Completed" {
		return nil, nil
	}
	for _, out := range j.in.ProcessingOutputConfig.Outputs {
		if out.AppManaged {
			continue
		}
		dir, err := j.local(out.S3Output.LocalPath)
		if err != nil {
			return nil, err
		}
		to := strings.TrimRight(out.S3Output.S3Uri, "/") + "/"
		err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			return t.cfg.Objects.Write(ctx, to+filepath.ToSlash(rel), f)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: output %s: %w", uploadFailed, out.OutputName, err)
		}
	}
	return nil, nil
}
