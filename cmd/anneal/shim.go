package main

import (
	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

// newShim is the hidden command that the daemon starts for each local job: it
// watches over the job's process, outlives the daemon, and writes down how the
// job ended.
func newShim() *cobra.Command {
	return &cobra.Command{
		Use:    "shim DIR",
		Short:  "Watch over one local job (started by the daemon)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if status := job.Run(args[0]); status != 0 {
				return &exit{status: status}
			}
			return nil
		},
	}
}
