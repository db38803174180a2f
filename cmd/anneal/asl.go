package main

import "github.com/spf13/cobra"

func newASL() *cobra.Command {
	c := &cobra.Command{
		Use:   "asl",
		Short: "Work with state machines alone",
		Long:  "Work with definitions in the Amazon States Language alone, without settings or a daemon.",
	}
	c.AddCommand(newASLCheck(), newASLEval(), newASLRun())
	return c
}
