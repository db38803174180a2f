// Command anneal decides when machine-learning models need retraining, has them
// trained, promotes what is better, and can always say why.
//
// Each subcommand has a file of its own; serve.go is where all parts meet.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/anneal-ml/anneal/policy"
)

// The exit statuses of every command.
const (
	exitNo     = 1 // the answer is no: problems found, a run that did not succeed
	exitUsage  = 2 // bad use, unreadable input
	exitBroken = 3 // it broke: a port in use, a disk, a lock
)

// An exit is an error with the status that the process ends with. Without an
// error inside, everything has been said already.
type exit struct {
	status int
	err    error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func usage(err error) error  { return &exit{exitUsage, err} }
func broken(err error) error { return &exit{exitBroken, err} }

func main() {
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	if len(os.Args) < 2 || os.Args[1] != "shim" { // which has ways of its own
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	}
	go func() {
		<-signals
		stop()
		// A second one ends the process at once, with the status that a shell
		// gives to what a signal has ended: 130 for SIGINT, 143 for SIGTERM.
		if s, ok := (<-signals).(syscall.Signal); ok {
			os.Exit(128 + int(s))
		}
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	out := &outlet{Writer: stdout}
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err := out.failed(); err != nil {
		fmt.Fprintf(stderr, "anneal: %v\n", err)
		return exitBroken
	}
	if err == nil {
		return 0
	}
	var e *exit
	if !errors.As(err, &e) {
		e = &exit{exitUsage, err} // cobra's own: an unknown command, flag or argument
	}
	if e.err != nil {
		fmt.Fprintf(stderr, "anneal: %v\n", e.err)
	}
	if errors.Is(e.err, syscall.ENOSPC) || errors.Is(e.err, syscall.EDQUOT) || errors.Is(e.err, syscall.EIO) {
		return exitBroken // whatever was asked, it was the disk
	}
	return e.status
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:     "anneal",
		Version: version(debug.ReadBuildInfo()),
		Short:   "Keep machine-learning models in tune",
		Long: `anneal watches data and models, decides when a model needs retraining, runs the
training on its own engine, promotes the result if it is better, and can always
say why it did, or did not.

    event → signal → decision → run → model → notice

Start with ` + "`anneal demo`" + `: the whole story, with no set-up. Then write a settings
file and a policy, prove them with ` + "`anneal check`" + `, and run ` + "`anneal serve`" + `.

Commands that read or steer a daemon reach it at $ANNEAL_SERVER
(http://127.0.0.1:8080 if unset) and send it $ANNEAL_TOKEN where that is set.

Exit status: 0 done; 1 the answer is no; 2 bad use or unreadable input; 3 it broke.
The first SIGINT or SIGTERM stops in order, a second one at once (130, 143).`,
		SilenceUsage:  true,
		SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd: true,
		},
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.AddGroup(
		&cobra.Group{ID: "begin", Title: "Begin:"},
		&cobra.Group{ID: "read", Title: "Read what happened:"},
		&cobra.Group{ID: "steer", Title: "Steer:"},
		&cobra.Group{ID: "care", Title: "Look after it:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			if c.HasSubCommands() {
				c.RunE = parent
			}
			root.AddCommand(c)
		}
	}
	add("begin", newDemo(), newServe(), newCheck(), newSchema(), newASL())
	add("read", newNouns()...)
	add("read", newExplain(), newPolicies(), newScheduleCommand())
	add("steer", newTrigger(), newPause(), newResume(), newApprove(), newReject(), newTasks())
	add("care", newDoctor(), newHealth(), newInfra(), newDrift(), newJournal(), newToken())
	root.AddCommand(newShim(), newDemoTrain())
	root.SetFlagErrorFunc(badFlag)
	tellUse(root)
	return root
}

// badFlag says which flags a command has, where one is given that it has not.
func badFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath())
	}
	var have []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			have = append(have, "--"+f.Name)
		}
	})
	return fmt.Errorf("%w%s", err, policy.Have("--"+unknown.GetSpecifiedName(), have))
}

// tellUse has the commands below c say which arguments they want where they are
// given others.
func tellUse(c *cobra.Command) {
	for _, sub := range c.Commands() {
		tellUse(sub)
		if want := sub.Args; want != nil {
			sub.Args = func(sub *cobra.Command, args []string) error {
				if want(sub, args) == nil {
					return nil
				}
				use, given := strings.TrimSuffix(sub.UseLine(), " [flags]"), strings.Join(append([]string{sub.CommandPath()}, args...), " ")
				return fmt.Errorf("want `%s`, not `%s`", use, given)
			}
		}
	}
}

// version is the module's version, the revision it was built from and Go's, as
// far as the binary knows them.
func version(info *debug.BuildInfo, ok bool) string {
	if !ok {
		return "unknown (built without modules)"
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	if revision := set["vcs.revision"]; revision != "" {
		v += " revision " + revision
		if set["vcs.modified"] == "true" {
			v += " (modified)"
		}
	}
	return v + " " + info.GoVersion + " " + runtime.GOOS + "/" + runtime.GOARCH
}

// parent runs a command that is only the name of others.
func parent(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	var have []string
	for _, sub := range c.Commands() {
		have = append(have, sub.Name())
	}
	return usage(fmt.Errorf("unknown command %q for %q (have %s)", args[0], c.CommandPath(), strings.Join(have, ", ")))
}
