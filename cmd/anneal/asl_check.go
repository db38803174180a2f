package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

func newASLCheck() *cobra.Command {
	var input, format string
	var strict bool
	c := &cobra.Command{
		Use:   "check FILE…",
		Short: "Prove state machines, before anything is paid for",
		Long: `Check what can be known of state machines before they run: their structure, the flow of
the data through their states, and what AWS would refuse of what they send to its
services. A path that cannot be there is told with what destroyed it and the remedy.

What AWS refuses is an error. What it takes, though executions fail of it, is a warning;
with --strict, which is how anneal check looks at the machines of policies, it is an
error, too, if every execution that comes to the place fails there.

With --input the machines are checked for that input; without, for any.

All problems are reported at once, each with file, line, column and what would be
right. Exit status 1 if one is an error; 0 if there are warnings alone.`,
		Example: "  anneal asl check pipeline.asl.json\n  anneal asl check --input input.json pipeline.asl.json\n  anneal asl check -o json *.asl.json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			o := flow.Options{Services: services(nil), Strict: strict}
			if input != "" {
				data, err := os.ReadFile(input)
				if err != nil {
					return usage(err)
				}
				v, err := value.Parse(data)
				if err != nil {
					return usage(fmt.Errorf("%s: %w", input, err))
				}
				o.Input, o.Giver = flow.Exactly(v), input
			}
			var all asl.Problems
			for _, file := range files {
				definition, err := readDefinition(file)
				if err != nil {
					return usage(err)
				}
				all = append(all, flow.Check(definition, file, o)...)
			}
			return report(cmd, format, remarks(all), "sound: "+count(len(files), "state machine"))
		},
	}
	c.Flags().StringVar(&input, "input", "", "a file with the input of an execution, in JSON")
	c.Flags().BoolVar(&strict, "strict", false, "let it be an error, too, if executions are bound to fail")
	c.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return c
}

// readDefinition is the definition in a file, unless it is too long to be one.
func readDefinition(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, err
	case info.Size() > 16*asl.MaxDefinition:
		return nil, fmt.Errorf("%s has %d bytes: a definition has at most %d", file, info.Size(), asl.MaxDefinition)
	case info.IsDir():
		return nil, errors.New(file + " is a folder, not a file")
	}
	return os.ReadFile(file)
}
