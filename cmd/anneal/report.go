package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// A remark is one thing that a check says of a file.
type remark struct {
	Severity asl.Severity `json:"severity"`
	File     string       `json:"file"`
	Line     int          `json:"line"`   // from 1; 0 where the file as a whole is meant
	Column   int          `json:"column"` // from 1; 0 where the line as a whole is meant
	Pointer  string       `json:"pointer,omitempty"`
	Message  string       `json:"message"`
}

func (f remark) String() string {
	message := f.Message
	if f.Pointer != "" {
		message = f.Pointer + ": " + message
	}
	if f.Severity == asl.SeverityWarning {
		message = "warning: " + message
	}
	return configs.Problem{File: f.File, Line: f.Line, Column: f.Column, Message: message}.String()
}

func remarks(problems asl.Problems) []remark {
	all := []remark{}
	for _, p := range problems {
		all = append(all, remark(p))
	}
	return all
}

// merged are problems of a configuration and of its state machines, in the
// order of files and lines.
func merged(problems configs.Problems, machines asl.Problems) []remark {
	all := remarks(machines)
	for _, p := range problems {
		f := remark{Severity: asl.SeverityError, File: p.File, Line: p.Line, Column: p.Column, Message: p.Message}
		if p.Warning {
			f.Severity = asl.SeverityWarning
		}
		all = append(all, f)
	}
	slices.SortStableFunc(all, func(a, b remark) int {
		return cmp.Or(cmp.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return all
}

// report writes what was found, and sound where none of it is an error. Its
// error is the exit status.
func report(cmd *cobra.Command, format string, all []remark, sound string) error {
	errors := 0
	for _, f := range all {
		if f.Severity == asl.SeverityError {
			errors++
		}
	}
	switch format {
	case "json":
		if err := writeJSON(cmd.OutOrStdout(), all); err != nil {
			return err
		}
	case "text":
		for _, f := range all {
			fmt.Fprintln(cmd.OutOrStdout(), f)
		}
		if warnings := len(all) - errors; warnings > 0 {
			fmt.Fprintln(cmd.OutOrStdout(), count(warnings, "warning"))
		}
		if errors > 0 {
			sound = count(errors, "problem")
		}
		fmt.Fprintln(cmd.OutOrStdout(), sound)
	default:
		return usage(fmt.Errorf("unknown output %q (have text, json)", format))
	}
	if errors > 0 {
		return &exit{status: exitNo}
	}
	return nil
}
