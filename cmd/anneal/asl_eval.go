package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/intrinsic"
	"github.com/anneal-ml/anneal/orchestrator/asl/jsonata"
	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

func newASLEval() *cobra.Command {
	var language string
	var states bool
	c := &cobra.Command{
		Use:   "eval --language jsonata|jsonpath",
		Short: "Evaluate expressions: JSON Lines in, JSON Lines out",
		Long: `Read lines {"expr": …, "data": …, "bindings": {NAME: …}} and answer each with a line:
{"result": …}, {"undefined": true} or {"code": …, "message": …}. Without data, or where
it is null, there is no input; bindings are variables. In JSONPath expr is a path or an
intrinsic function.

The language jsonata is that of the reference implementation, version 2.0.6. With
--states it is as Step Functions has it: without $eval, with $partition, $range,
$hash, $random(seed), $uuid and $parse.`,
		Example: `  echo '{"expr": "$sum(n)", "data": {"n": [1, 2]}}' | anneal asl eval --language jsonata`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e := &evaluator{rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), known: map[string]*jsonata.Expr{}}
			switch {
			case language == "jsonata" && states:
				e.eval, e.parse = e.jsonata, jsonata.ParseStates
			case language == "jsonata":
				e.eval, e.parse = e.jsonata, jsonata.Parse
			case language == "jsonpath" && !states:
				e.eval = e.jsonpath
			case language == "jsonpath":
				return usage(errors.New("--states goes with --language jsonata"))
			default:
				return usage(fmt.Errorf("--language must be jsonata or jsonpath, not %q", language))
			}
			return e.lines(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	c.Flags().StringVar(&language, "language", "", "jsonata or jsonpath")
	c.Flags().BoolVar(&states, "states", false, "the JSONata of Step Functions")
	return c
}

// An evaluator answers lines.
type evaluator struct {
	eval  func(expr string, data *value.Value, variable func(string) (value.Value, bool)) (value.Value, bool, error)
	parse func(string) (*jsonata.Expr, error)
	known map[string]*jsonata.Expr // that were parsed before
	rand  *rand.Rand
}

// maxKnown is how many expressions are remembered.
const maxKnown = 1_000

func (e *evaluator) lines(r io.Reader, w io.Writer) error {
	in, out := bufio.NewReader(r), bufio.NewWriter(w)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			answer, bad := e.answer(line)
			if bad != nil {
				out.Flush()
				return usage(fmt.Errorf("line %d: %w", n, bad))
			}
			out.Write(append(answer, '\n'))
		}
		if in.Buffered() == 0 || err != nil { // somebody may be waiting
			if err := out.Flush(); err != nil {
				return broken(err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return broken(err)
		}
	}
}

// answer is the answer to a line; the error says why it is no question.
func (e *evaluator) answer(line []byte) ([]byte, error) {
	var q struct {
		Expr     json.RawMessage
		Data     json.RawMessage
		Bindings map[string]json.RawMessage
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	expr, err := jsonata.Unquote(q.Expr)
	if err != nil {
		return nil, fmt.Errorf("expr: %w", err)
	}
	var data *value.Value
	if len(q.Data) > 0 && string(q.Data) != "null" {
		v, err := value.Parse(q.Data)
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		data = &v
	}
	bound := make(map[string]value.Value, len(q.Bindings))
	for name, raw := range q.Bindings {
		if bound[name], err = value.Parse(raw); err != nil {
			return nil, fmt.Errorf("bindings: %s: %w", name, err)
		}
	}
	v, ok, err := e.eval(expr, data, func(name string) (value.Value, bool) {
		v, ok := bound[name]
		return v, ok
	})
	text := value.OfString
	switch {
	case err != nil:
		code, message := failure(err)
		return value.OfObject(value.Member{Key: "code", Value: text(code)}, value.Member{Key: "message", Value: text(message)}).Append(nil), nil
	case !ok:
		return []byte(`{"undefined":true}`), nil
	}
	return append(v.Append([]byte(`{"result":`)), '}'), nil
}

func (e *evaluator) jsonata(expr string, data *value.Value, variable func(string) (value.Value, bool)) (value.Value, bool, error) {
	x := e.known[expr]
	if x == nil {
		var err error
		if x, err = e.parse(expr); err != nil {
			return value.Value{}, false, err
		}
		if len(e.known) >= maxKnown {
			clear(e.known)
		}
		e.known[expr] = x
	}
	v, ok, err := x.Eval(jsonata.Args{Input: data, Variable: variable, Now: time.Now(), Rand: e.rand})
	if err == jsonata.ErrFunction { // which is no JSON
		err = nil
	}
	return v, ok, err
}

func (e *evaluator) jsonpath(expr string, data *value.Value, variable func(string) (value.Value, bool)) (value.Value, bool, error) {
	in := value.Value{}
	if data != nil {
		in = *data
	}
	if intrinsic.Is(expr) {
		x, err := intrinsic.Parse(expr)
		if err != nil {
			return in, false, err
		}
		v, err := x.Eval(intrinsic.Args{Input: in, Variable: variable, Rand: e.rand})
		return v, true, err
	}
	p, err := jsonpath.Parse(expr)
	if err != nil {
		return in, false, err
	}
	if name := p.Variable(); name != "" {
		var ok bool
		if in, ok = variable(name); !ok {
			return in, false, fmt.Errorf("the variable $%s has no value", name)
		}
	}
	v, err := p.Select(in)
	var missing *jsonpath.NotFoundError
	if errors.As(err, &missing) && !p.Definite() {
		return value.OfArray(nil), true, nil
	}
	return v, true, err
}

// failure is the code and message of what went wrong.
func failure(err error) (code, message string) {
	var query *jsonata.Error
	var missing *jsonpath.NotFoundError
	var call *intrinsic.Error
	switch {
	case errors.As(err, &query):
		return query.Code, query.Message
	case errors.As(err, &missing):
		return asl.ErrParameterPathFailure, err.Error()
	case errors.As(err, &call):
		return asl.ErrIntrinsicFailure, err.Error()
	}
	return asl.ErrRuntime, err.Error()
}
