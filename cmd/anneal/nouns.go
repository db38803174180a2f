package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/web"
)

// A noun can be listed and shown.
type noun struct {
	plural string
	about  string
	id     string // what ID is, in the usage of show
	header string // of the table, tab-separated
	row    func(json.RawMessage) (string, error)
	more   func(*reach) []*cobra.Command
}

var allNouns = []noun{
	{plural: "events", id: "EVENT", about: "what happened outside: dropped files, triggers, waits that ended",
		header: "SEEN\tID\tTYPE\tSUBJECT\tSOURCE", row: rowOf(eventRow), more: eventCommands},
	{plural: "signals", id: "SIGNAL", about: "what was measured: drift, rows since the last training",
		header: "AT\tPOLICY\tNAME\tVALUE\tLOW\tHIGH\tN\tSTATUS\tID", row: rowOf(signalRow)},
	{plural: "decisions", id: "DECISION", about: "what each policy decided about each event, and why",
		header: "AT\tID\tVERDICT\tREASON", row: rowOf(decisionRow), more: decisionCommands},
	{plural: "runs", id: "RUN", about: "executions of state machines",
		header: "STARTED\tID\tSTATUS\tTOOK\tERROR", row: rowOf(runRow), more: runCommands},
	{plural: "models", id: "GROUP@VERSION", about: "what was trained, its metrics and its stage",
		header: "TRAINED\tMODEL\tSTAGE\tMETRICS\tRUN", row: rowOf(modelRow)},
	{plural: "notices", id: "NOTICE", about: "what people were told",
		header: "AT\tKIND\tCHANNEL\tSTATE\tSUBJECT", row: rowOf(noticeRow)},
}

func newNouns() []*cobra.Command {
	var commands []*cobra.Command
	for _, n := range allNouns {
		c := &cobra.Command{Use: n.plural, Short: upperFirst(n.about)}
		c.AddCommand(newList(n), newShow(n))
		if n.more != nil {
			c.AddCommand(n.more(&reach{})...)
		}
		commands = append(commands, c)
	}
	return commands
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// output is the flag -o.
type output struct{ format string }

func (o *output) flags(c *cobra.Command) {
	c.Flags().StringVarP(&o.format, "output", "o", "text", "text or json")
}

func (o *output) json() (bool, error) {
	switch o.format {
	case "json":
		return true, nil
	case "text":
		return false, nil
	}
	return false, usage(fmt.Errorf("output %q: want text or json", o.format))
}

func newList(n noun) *cobra.Command {
	var (
		from   reach
		out    output
		limit  uint64
		cursor string
	)
	filters := map[string]*string{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List " + n.plural + ", newest first",
		Long: "List " + n.about + ", newest first.\n\n" +
			"With -o json a list is an array. Where there is more than --limit, the cursor to go\non with is printed to standard error.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			client, close, err := from.client(cmd.Context())
			if err != nil {
				return err
			}
			defer close()
			q := url.Values{"limit": {strconv.FormatUint(limit, 10)}}
			if cursor != "" {
				q.Set("cursor", cursor)
			}
			for name, value := range filters {
				if *value != "" {
					q.Set(name, *value)
				}
			}
			var items []json.RawMessage
			header, err := client.call(cmd.Context(), "GET", "/api/v1/"+n.plural+"?"+q.Encode(), nil, &items)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), items)
			} else {
				err = writeTable(cmd.OutOrStdout(), n, items)
			}
			if next := header.Get(web.Cursor); err == nil && next != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "there is more: --cursor %s\n", next)
			}
			return err
		},
	}
	from.flags(c)
	out.flags(c)
	c.Flags().Uint64Var(&limit, "limit", 100, "how many at most; 0: all")
	c.Flags().StringVar(&cursor, "cursor", "", "go on where a list ended")
	for _, name := range web.Filters(n.plural) {
		filters[name] = c.Flags().String(name, "", filterHelp(n.plural, name))
	}
	return c
}

func filterHelp(noun, filter string) string {
	switch filter {
	case "status":
		return "only those: " + strings.Join(web.Statuses(noun), ", ")
	case "since":
		return "only those of this time and later: 2026-11-01T00:00:00Z, or how long ago, such as 36h"
	}
	return "only those of this " + filter
}

func newShow(n noun) *cobra.Command {
	var from reach
	var out output
	c := &cobra.Command{
		Use:   "show " + n.id,
		Short: "Show one of the " + n.plural + " whole",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := out.json(); err != nil {
				return err
			}
			var item json.RawMessage
			if err := from.ask(cmd.Context(), "GET", "/api/v1/"+n.plural+"/"+url.PathEscape(args[0]), nil, &item); err != nil {
				return err
			}
			return writeJSON(cmd.OutOrStdout(), item)
		},
	}
	from.flags(c)
	out.flags(c)
	return c
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func writeTable(w io.Writer, n noun, items []json.RawMessage) error {
	if len(items) == 0 {
		fmt.Fprintf(w, "no %s yet\n", n.plural)
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, n.header)
	for _, item := range items {
		row, err := n.row(item)
		if err != nil {
			return broken(fmt.Errorf("read one of the %s: %w", n.plural, err))
		}
		fmt.Fprintln(t, row)
	}
	return t.Flush()
}

// rowOf makes the row of a table from an item's JSON.
func rowOf[T any](row func(T) []string) func(json.RawMessage) (string, error) {
	return func(data json.RawMessage) (string, error) {
		var v T
		if err := json.Unmarshal(data, &v); err != nil {
			return "", err
		}
		cells := row(v)
		for i, cell := range cells {
			cells[i] = printable(cell)
		}
		return strings.Join(cells, "\t"), nil
	}
}

// printable keeps what came from outside from moving the cursor, breaking the
// table, or having other text read backwards.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

func eventRow(e anneal.Event) []string {
	subject := e.Subject
	if e.Parked != "" {
		subject += " (parked: " + e.Parked + ")"
	}
	return []string{clock(e.Seen), e.ID, e.Type, subject, e.Source}
}

func signalRow(s anneal.Signal) []string {
	number := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return strconv.FormatFloat(*v, 'g', 5, 64)
	}
	return []string{clock(s.At), s.Policy, s.Name, number(s.Value), number(s.Low), number(s.High), strconv.FormatInt(s.N, 10), string(s.Status), s.ID}
}

func decisionRow(d anneal.Decision) []string {
	return []string{clock(d.At), d.ID, string(d.Verdict), d.Reason}
}

func runRow(r anneal.Run) []string {
	took := "-"
	if r.Ended != nil {
		took = r.Ended.Sub(r.Started).Round(time.Millisecond).String()
	}
	return []string{clock(r.Started), r.ID, string(r.Status), took, r.Error}
}

func modelRow(m anneal.Model) []string {
	var metrics []string
	for _, name := range sortedKeys(m.Metrics) {
		metrics = append(metrics, fmt.Sprintf("%s=%.4g", name, m.Metrics[name]))
	}
	return []string{clock(m.TrainedAt), m.ID(), string(m.Stage), strings.Join(metrics, " "), m.Run}
}

func noticeRow(n anneal.Notice) []string {
	state := "on its way"
	switch {
	case n.Delivered != nil:
		state = "delivered"
	case n.GivenUp:
		state = fmt.Sprintf("given up after %s: %s", plural(n.Attempts, "try", "tries"), n.Error)
	case n.Error != "":
		state = fmt.Sprintf("trying again after %s: %s", plural(n.Attempts, "try", "tries"), n.Error)
	}
	return []string{clock(n.At), string(n.Kind), n.Channel, state, n.Subject}
}

// clock is a time as tables show it, in the reader's zone.
func clock(t time.Time) string { return t.Local().Format(time.DateTime) }
