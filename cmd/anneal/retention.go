package main

import (
	"context"
	"strings"
)

// prune removes the training data that was staged for these runs, and its
// manifests. Nothing outside the staging folder is touched, and nothing in it
// that was not staged; what cannot be removed is left, and told.
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
	return nil
}
