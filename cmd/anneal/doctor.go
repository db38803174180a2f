package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/configs"
)

// The results of a check.
const (
	checkOK   = "ok"   // as it should be, or nothing to check
	checkWarn = "warn" // works, and may not for long
	checkFail = "fail" // the daemon cannot do its work so
)

// A finding is what one check of `anneal doctor` came to.
type finding struct {
	Status string `json:"status"`
	Check  string `json:"check"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"` // what to do, unless it is ok
}

func (f finding) String() string {
	s := fmt.Sprintf("%-5s %s: %s", f.Status, f.Check, f.Detail)
	if f.Remedy != "" {
		s += " — " + f.Remedy
	}
	return s
}

// A doctor collects findings.
type doctor struct {
	ctx      context.Context
	cfg      *configs.Config // nil where the settings cannot be loaded
	within   time.Duration   // bounds each question to AWS, with its repetitions
	findings []finding
}

func (d *doctor) ok(check, format string, args ...any) {
	d.findings = append(d.findings, finding{checkOK, check, fmt.Sprintf(format, args...), ""})
}

func (d *doctor) warn(check, remedy, format string, args ...any) {
	d.findings = append(d.findings, finding{checkWarn, check, fmt.Sprintf(format, args...), remedy})
}

func (d *doctor) fail(check, remedy, format string, args ...any) {
	d.findings = append(d.findings, finding{checkFail, check, fmt.Sprintf(format, args...), remedy})
}

func newDoctor() *cobra.Command {
	var path string
	var online bool
	var out output
	c := &cobra.Command{
		Use:   "doctor [--config FILE]",
		Short: "Look for what would keep the daemon from its work",
		Long: `Look at the machine with the eyes of the daemon: settings, data folder and who holds it,
disk, sync, clock, limits of the system, port, certificate, sources, commands and
interpreters, secrets, staging, and the journal. No daemon is needed; one may be running. Nothing is
changed but for a small file in the data folder, to see that it can be written, which is
removed again.

With --online NATS is asked for each stream and consumer, and AWS who the daemon is and
whether the clocks agree, for each queue, bucket, state machine, alarm, topic and bus
that the settings and policies name, and, where IAM may be asked
(iam:SimulatePrincipalPolicy), for each permission. No message is taken, and nothing is
written, published or started.

A line a check: ok, warn or fail, what was found, and what to do about it. Exit status 1
if any fails.`,
		Example: "  anneal doctor --config anneal.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			d := &doctor{ctx: cmd.Context(), within: askWithin, findings: []finding{}}
			d.examine(path)
			if online && d.cfg != nil {
				d.online()
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), d.findings)
			} else {
				err = d.write(cmd.OutOrStdout())
			}
			if err != nil {
				return broken(err)
			}
			if d.count(checkFail) > 0 {
				return &exit{status: exitNo}
			}
			return nil
		},
	}
	c.Flags().StringVar(&path, "config", "anneal.yaml", "the settings file")
	c.Flags().BoolVar(&online, "online", false, "ask NATS and AWS too")
	out.flags(c)
	return c
}

// examine makes all checks. Those that need the settings are left out where
// they cannot be loaded.
func (d *doctor) examine(path string) {
	d.settings(path)
	if d.cfg != nil {
		d.dataFolder()
		d.disk()
		d.journal()
		d.ports()
		d.certificate()
		d.sources()
		d.channels()
		d.remote()
		d.publishing()
		d.watches()
		d.commands()
		d.containers()
		d.staging()
		d.s3()
		d.secrets()
	}
	d.clock()
	d.memory()
	d.limits()
	d.surroundings()
}

func (d *doctor) settings(path string) {
	cfg, err := configs.Load(path, loadOptions())
	if err == nil {
		if problems := checkResources(cfg); len(problems) > 0 {
			err = problems
		}
	}
	var problems configs.Problems
	switch {
	case errors.As(err, &problems):
		d.fail("settings", "run `anneal check --config "+path+"`", "%s, the first: %v", count(len(problems), "problem"), problems[0])
	case err != nil:
		d.fail("settings", "name them with --config FILE", "%v", err)
	default:
		d.ok("settings", "%s, %s", path, plural(len(cfg.Policies), "policy", "policies"))
	}
	d.cfg = cfg
}

func (d *doctor) count(status string) (n int) {
	for _, f := range d.findings {
		if f.Status == status {
			n++
		}
	}
	return n
}

func (d *doctor) write(w io.Writer) error {
	for _, f := range d.findings {
		if _, err := fmt.Fprintln(w, printable(f.String())); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d ok, %d to look at, %d failed\n", d.count(checkOK), d.count(checkWarn), d.count(checkFail))
	return err
}

// listed is a few of many.
func listed(names []string) string {
	const most = 4
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
