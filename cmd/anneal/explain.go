package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
)

func newExplain() *cobra.Command {
	var from reach
	var out output
	var policy string
	c := &cobra.Command{
		Use:   "explain [DECISION]",
		Short: "Say why a policy decided as it did, and what would have to change",
		Long: `Say why a decision came out as it did: each rule with what it read, each guard, and
what would have to change for a run. With --policy, its newest decision. With -o json
the words are beside the ID of the decision, whose record is anneal decisions show.`,
		Example: "  anneal explain electricity-0k3v7m2j5n8q1r4t\n  anneal explain --policy electricity",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (policy != "") {
				return usage(errors.New("explain needs a DECISION or --policy NAME, one of them"))
			}
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			client, close, err := from.client(cmd.Context())
			if err != nil {
				return err
			}
			defer close()
			var id string
			if len(args) == 1 {
				id = args[0]
			} else {
				var newest []anneal.Decision
				q := url.Values{"policy": {policy}, "limit": {"1"}}
				if _, err := client.call(cmd.Context(), "GET", "/api/v1/decisions?"+q.Encode(), nil, &newest); err != nil {
					return err
				}
				if len(newest) == 0 {
					return &exit{exitNo, fmt.Errorf("policy %s has decided nothing yet", policy)}
				}
				id = newest[0].ID
			}
			var text string
			if _, err := client.call(cmd.Context(), "GET", "/api/v1/decisions/"+url.PathEscape(id)+"/explain", nil, &text); err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]string{"decision": id, "explanation": text})
			}
			for line := range strings.Lines(text) {
				fmt.Fprintln(cmd.OutOrStdout(), printable(strings.TrimSuffix(line, "\n")))
			}
			return nil
		},
	}
	from.flags(c)
	out.flags(c)
	c.Flags().StringVar(&policy, "policy", "", "explain this policy's newest decision")
	return c
}

// decisionCommands are those of `anneal decisions` besides list and show.
func decisionCommands(from *reach) []*cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "verify",
		Short: "Make every decision again and compare",
		Long: `Replay the journal: make every decision again, by the policy that made it and from
the records before it, and compare the two byte for byte. Exit status 1 if any differs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := show(cmd, from, out, "POST", "/api/v1/decisions/verify", nil, writeVerification)
			if err != nil {
				return err
			}
			if !v.Sound() {
				return &exit{status: exitNo}
			}
			return nil
		},
	}
	from.flags(c)
	out.flags(c)
	return []*cobra.Command{c}
}

func writeVerification(w io.Writer, v controller.Verification) error {
	fmt.Fprintf(w, "%d decisions made again: %d agree, %d differ", v.Decisions, v.Agreed, len(v.Divergent))
	if v.Skipped > 0 {
		fmt.Fprintf(w, ", %d had no policy", v.Skipped)
	}
	fmt.Fprintln(w)
	for _, d := range v.Divergent {
		fmt.Fprintf(w, "\ndecision %s (record %d) %s\n  recorded %s\n  again    %s\n", d.Decision, d.Record, d.Problem, d.Recorded, d.Again)
	}
	return nil
}
