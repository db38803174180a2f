package main

import (
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/web"
)

func newPause() *cobra.Command {
	return newSteer("pause", "POLICY", "policies", "Have a policy start nothing until it is resumed",
		`Have a policy start nothing until it is resumed. It goes on looking and recording what it
sees; what comes meanwhile is not lost. The pause outlives restarts and reloads.`,
		"  anneal pause electricity --note \"new tariff, data is wrong until Monday\"")
}

func newResume() *cobra.Command {
	return newSteer("resume", "POLICY", "policies", "End a pause",
		"End a pause. The policy looks at once at what came meanwhile.",
		"  anneal resume electricity")
}

func newApprove() *cobra.Command {
	return newSteer("approve", "DECISION", "decisions", "Let a decision that asks for approval have its run",
		`Let a decision that asks for approval (verdict await-approval) have its run. It runs
whatever the rules say by now; a guard that has come to veto is not skipped.`,
		"  anneal approve electricity-9s3k2m --note \"worth it before winter\"")
}

func newReject() *cobra.Command {
	return newSteer("reject", "DECISION", "decisions", "Refuse a decision that asks for approval",
		"Refuse a decision that asks for approval. The next event is decided on anew.",
		"  anneal reject electricity-9s3k2m --note \"not this week\"")
}

func newSteer(verb, what, among, short, long, example string) *cobra.Command {
	var (
		from reach
		out  output
		note string
	)
	c := &cobra.Command{
		Use: verb + " " + what, Short: short, Long: long, Example: example,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := show(cmd, &from, out, "POST", "/api/v1/"+among+"/"+url.PathEscape(args[0])+"/"+verb, web.NoteRequest{Note: note}, writeVerdict)
			return err
		},
	}
	from.daemonFlags(c)
	out.flags(c)
	c.Flags().StringVar(&note, "note", "", "why, for the record")
	return c
}

// eventCommands are those of `anneal events` besides list and show.
func eventCommands(*reach) []*cobra.Command {
	var from reach
	var out output
	c := &cobra.Command{
		Use:   "replay EVENT",
		Short: "Take an event that was parked in again",
		Long: `Take an event that was parked in again, as a new event: what could not be read may be
readable now. Replaying one twice changes nothing.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := show(cmd, &from, out, "POST", "/api/v1/events/"+url.PathEscape(args[0])+"/replay", nil, writeReplayed)
			return err
		},
	}
	from.daemonFlags(c)
	out.flags(c)
	return []*cobra.Command{c}
}

func writeReplayed(w io.Writer, taken []web.Ingested) error {
	for _, t := range taken {
		again := ""
		if t.Duplicate {
			again = " (it was replayed before)"
		}
		fmt.Fprintf(w, "taken in as event %s%s\n", t.ID, again)
	}
	return nil
}
