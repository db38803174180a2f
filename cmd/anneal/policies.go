package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/web"
)

func newPolicies() *cobra.Command {
	c := &cobra.Command{Use: "policies", Short: "The loaded policies and how each stands"}
	var from reach
	var out output
	list := &cobra.Command{
		Use:   "list",
		Short: "List the loaded policies",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := from.ask(cmd.Context(), "GET", "/api/v1/policies", nil, &raw); err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), raw)
			}
			var policies []web.Policy
			if err := json.Unmarshal(raw, &policies); err != nil {
				return broken(err)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "POLICY\tMODE\tMODEL\tCHAMPION\tNEW ROWS\tOPEN RUNS")
			for _, p := range policies {
				champion := p.Champion
				if champion == "" {
					champion = "none"
				}
				mode := string(p.Mode)
				if p.Paused != "" {
					mode = "paused"
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\n", p.Name, mode, p.Model, champion, strconv.FormatInt(p.Rows, 10), len(p.OpenRuns))
			}
			return t.Flush()
		},
	}
	from.daemonFlags(list)
	out.flags(list)
	c.AddCommand(list)
	return c
}
