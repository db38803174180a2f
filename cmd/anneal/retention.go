package main

import (
	"context"
	"strings"
)

// prune removes the training data that was staged for these runs, its manifests,
// and the folders of their jobs. Nothing outside the staging folder and that of
// jobs is touched, and nothing in the first that was not staged; what cannot be
// removed is left, and told.
func (d *daemon) prune(ctx context.Context, executions []string) error {
	staging := string(stagingOf(d.cfg, d.objects))
	for _, name := range executions {
		if strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\`) {
			continue // no run's: an execution that somebody started by name
		}
		if err := d.objects.Unstage(ctx, staging+"/"+name+"/"); err != nil {
			d.log.Warn("staged data not removed", "run", name, "err", err)
		}
		if err := d.objects.Remove(ctx, staging+"/"+name+".manifest"); err != nil {
			d.log.Warn("manifest not removed", "run", name, "err", err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if _, err := d.tasks.Prune(executions); err != nil {
		d.log.Warn("folders of jobs not removed", "err", err)
	}
	return nil
}
