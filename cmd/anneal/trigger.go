package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/web"
)

func newTrigger() *cobra.Command {
	var (
		from   reach
		out    output
		inputs []string
		force  bool
	)
	c := &cobra.Command{
		Use:   "trigger POLICY",
		Short: "Wake a policy by hand and print what it decides",
		Long: `Wake a policy by hand. Its rules and guards decide as always; --force skips the rules,
never a guard. Parameters are checked against the policy's JSON Schema: a value that
reads as JSON is taken as that, anything else as a string.`,
		Example: "  anneal trigger electricity\n  anneal trigger electricity --input epochs=20 --input reason=\"new tariff\" --force",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			parameters, err := parseInputs(inputs)
			if err != nil {
				return usage(err)
			}
			_, err = show(cmd, &from, out, "POST", "/api/v1/policies/"+url.PathEscape(args[0])+"/trigger", web.TriggerRequest{Parameters: parameters, Force: force}, writeVerdict)
			return err
		},
	}
	from.daemonFlags(c)
	out.flags(c)
	c.Flags().StringArrayVar(&inputs, "input", nil, "a parameter, as name=value; may be given again")
	c.Flags().BoolVar(&force, "force", false, "skip the rules (guards are never skipped)")
	return c
}

// writeVerdict is what a policy has decided, in a line.
func writeVerdict(w io.Writer, d anneal.Decision) error {
	_, err := fmt.Fprintf(w, "%s: %s (decision %s)\n", d.Verdict, printable(d.Reason), d.ID)
	return err
}

func parseInputs(inputs []string) (map[string]any, error) {
	parameters := map[string]any{}
	for _, in := range inputs {
		name, value, ok := strings.Cut(in, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--input %q: want name=value", in)
		}
		if _, again := parameters[name]; again {
			return nil, fmt.Errorf("--input %s is given twice", name)
		}
		var v any
		if json.Unmarshal([]byte(value), &v) != nil {
			v = value
		}
		parameters[name] = v
	}
	return parameters, nil
}
