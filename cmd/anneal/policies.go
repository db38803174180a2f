package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/web"
)

func newPolicies() *cobra.Command {
	c := &cobra.Command{Use: "policies", Short: "The loaded policies and how each stands", SuggestFor: []string{"status"}}
	var from reach
	var out output
	list := &cobra.Command{
		Use:   "list",
		Short: "List the loaded policies",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := show(cmd, &from, out, "GET", "/api/v1/policies", nil, writePolicies)
			return err
		},
	}
	from.daemonFlags(list)
	out.flags(list)
	c.AddCommand(list)
	return c
}

func writePolicies(w io.Writer, policies []web.Policy) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
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
}
