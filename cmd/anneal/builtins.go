package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
	"github.com/anneal-ml/anneal/registry"
)

// builtins are the functions of this program; each lives with its noun.
func (d *daemon) builtins() map[string]tasks.Builtin {
	return map[string]tasks.Builtin{
		"validate-data": d.validateData,
		"evaluate-model": func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
			return registry.Evaluate(ctx, d.objects, payload)
		},
		"register-model": func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
			return registry.Register(ctx, d.objects, payload)
		},
		"noop": func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) { return payload, nil },
	}
}

// validateData is the built-in function of that name: whether the data under a
// prefix can be trained on.
func (d *daemon) validateData(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
	var in struct {
		S3DataPath string   `json:"S3DataPath"`
		Target     string   `json:"Target"`
		Columns    []string `json:"Columns"`
		MinRows    int64    `json:"MinRows"`
	}
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, fmt.Errorf("validate-data: the payload is not as expected: %w", err)
	}
	if in.S3DataPath == "" {
		return nil, errors.New(`validate-data: the payload has no "S3DataPath", the URI of the data`)
	}
	validation := d.validate(ctx, in.S3DataPath, drift.Rules{Target: in.Target, Columns: in.Columns, MinRows: in.MinRows})
	return json.Marshal(map[string]any{
		"IsValid": validation.Valid, "Reason": validation.Reason, "Problems": validation.Problems, "Rows": validation.Rows,
	})
}

func (d *daemon) validate(ctx context.Context, prefix string, rules drift.Rules) drift.Validation {
	list, err := d.objects.List(ctx, prefix)
	if err != nil {
		return drift.Invalid(err)
	}
	if len(list) == 0 {
		return drift.Invalid(fmt.Errorf("there is no object under %s", prefix))
	}
	var parts []*profile.Profile
	for _, info := range list {
		p, err := readProfile(ctx, d.objects, objectOf(info), dataset.Options{})
		if err != nil {
			return drift.Invalid(err)
		}
		parts = append(parts, p)
	}
	return drift.Validate(profile.Merge(parts...), rules)
}
