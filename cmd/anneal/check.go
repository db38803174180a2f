package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

func newCheck() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check [--config FILE] [POLICY…]",
		Short: "Prove settings, policies and state machines before serving",
		Long: `Check everything that can be known before serving: settings, policies (unknown names,
types, expressions), state machines, and resources that nothing is configured to run.
With POLICY files or folders, those policies alone, without settings.

All problems are reported at once, each with file, line, column and what would be
right. Exit status 1 if there are any; what is sound and hardly meant so is a
warning, and does not count.`,
		Example: "  anneal check\n  anneal check --config anneal.yaml\n  anneal check policies/",
		RunE: func(cmd *cobra.Command, paths []string) error {
			cfg, err := loadForCheck(file, cmd.Flags().Changed("config"), paths)
			if err == nil && len(paths) == 0 {
				if problems := checkResources(cfg); len(problems) > 0 {
					err = problems
				}
			}
			var problems configs.Problems
			switch {
			case errors.As(err, &problems):
				for _, p := range problems {
					fmt.Fprintln(cmd.OutOrStdout(), p)
				}
				fmt.Fprintln(cmd.OutOrStdout(), count(len(problems), "problem"))
				return &exit{status: exitNo}
			case err != nil:
				return usage(err)
			}
			for _, w := range warnings(cfg) {
				fmt.Fprintln(cmd.OutOrStdout(), w)
			}
			for _, n := range cfg.Notes {
				fmt.Fprintf(cmd.OutOrStdout(), "%s:%d: note: %s, and serve will need it\n", n.File, n.Line, n.Message)
			}
			for _, p := range cfg.Policies {
				fmt.Fprintf(cmd.OutOrStdout(), "policy %s: %s, %s for model %s, %s\n", p.Name(), p.Spec.Spec.Mode,
					count(len(p.Spec.Spec.Rules), "rule"), p.Spec.Spec.Model.Group, count(len(p.Spec.Spec.Triggers), "trigger"))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "sound: %s, %s\n", plural(len(cfg.Policies), "policy", "policies"), count(len(cfg.Machines), "state machine"))
			return nil
		},
	}
	c.Flags().StringVar(&file, "config", "anneal.yaml", "the settings file")
	return c
}

func loadForCheck(file string, named bool, paths []string) (*configs.Config, error) {
	if len(paths) > 0 && named {
		return nil, errors.New("check takes --config FILE or POLICY files, not both")
	}
	read := paths
	if len(paths) == 0 {
		read = []string{file}
	}
	for _, path := range read {
		if _, err := os.Stat(path); err != nil {
			return nil, err // nothing to check: not a problem of the configuration
		}
	}
	options := loadOptions()
	options.Warnings = true
	if len(paths) > 0 {
		return configs.LoadPolicies(paths, options)
	}
	return configs.Load(file, options)
}

// loadOptions has each state machine parsed as it is loaded.
func loadOptions() configs.Options {
	return configs.Options{States: taskStates, CheckMachine: func(file string, definition []byte) []configs.Problem {
		_, err := asl.Parse(definition, file)
		var found asl.Problems
		if err == nil || !errors.As(err, &found) {
			return nil
		}
		var problems []configs.Problem
		for _, p := range found {
			if p.Severity == asl.SeverityError {
				problems = append(problems, configs.Problem{File: p.File, Line: p.Line, Column: p.Column, Message: p.Pointer + ": " + p.Message})
			}
		}
		return problems
	}}
}

// taskStates lists the tasks of a state machine, nil where it has problems.
func taskStates(definition []byte) (tasks []string) {
	m, err := asl.Parse(definition, "")
	if err != nil {
		return nil
	}
	for _, name := range m.Names() {
		if m.Type(name) == asl.TypeTask {
			tasks = append(tasks, name)
		}
	}
	return tasks
}

// unread stands for a secret, which is not read to see what is mapped.
func unread(configs.Secret) (string, error) { return "http://localhost", nil }

// checkResources finds the resources of the state machines that nothing is
// configured to run.
func checkResources(cfg *configs.Config) configs.Problems {
	d := &daemon{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	d.generation.take(cfg)
	t, err := d.newTasks(nil, unread)
	if err != nil {
		return configs.Problems{{File: cfg.File, Message: err.Error()}}
	}
	var problems configs.Problems
	for _, name := range sortedKeys(cfg.Machines) {
		machine := cfg.Machines[name]
		m, err := asl.Parse(machine.Definition, machine.File)
		if err != nil {
			continue // reported as it was loaded
		}
		for _, r := range m.Resources() {
			if err := t.Check(r); err != nil {
				problems = append(problems, configs.Problem{File: machine.File, Line: r.Line, Column: r.Column, Message: err.Error()})
			}
		}
	}
	return problems
}

// warnings are what is odd about sound policies and state machines.
func warnings(cfg *configs.Config) []string {
	var out []string
	for _, p := range cfg.Warnings {
		out = append(out, p.String())
	}
	for _, name := range sortedKeys(cfg.Machines) {
		m, err := asl.Parse(cfg.Machines[name].Definition, name)
		if err != nil {
			continue
		}
		for _, p := range m.Warnings {
			out = append(out, p.String())
		}
	}
	return out
}

func count(n int, noun string) string { return plural(n, noun, noun+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
