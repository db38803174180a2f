package asl

import (
	"fmt"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/intrinsic"
	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// An expression is a path or a call of an intrinsic function.
type expression struct {
	text string
	path *jsonpath.Path
	call *intrinsic.Expr
}

func parseExpression(text string) (*expression, error) {
	e := &expression{text: text}
	var err error
	switch {
	case intrinsic.Is(text):
		e.call, err = intrinsic.Parse(text)
	case strings.HasPrefix(text, "$"):
		e.path, err = jsonpath.Parse(text)
	default:
		err = fmt.Errorf("%q must be a path, which begins with $, or an intrinsic function call, as in States.Format(…)", text)
	}
	return e, err
}

// paths are those in the expression.
func (e *expression) paths() []*jsonpath.Path {
	if e.call != nil {
		return e.call.Paths()
	}
	return []*jsonpath.Path{e.path}
}

// A template is Parameters or ResultSelector: JSON in which a member whose key
// ends in .$ is replaced by what its path or function gives. Or it is Arguments
// or Output, in which strings between {% and %} are.
type template struct {
	constant *value.Value // where nothing in it is replaced
	expr     *expression  // of a member whose key ends in .$
	query    *query       // of a string in JSONata
	keys     []string     // of an object, without .$
	items    []*template  // of an object or array
	object   bool
}

// maxEvaluated is how large a template's value may become before OutputPath or
// the limit of a state's data has a say, in bytes.
const maxEvaluated = 16 * MaxData

func (t *template) eval(f *frame, input value.Value, field string) (value.Value, error) {
	switch {
	case t.constant != nil:
		return *t.constant, nil
	case t.expr != nil:
		return t.expr.eval(f, input, field)
	case t.query != nil:
		return f.evaluate(t.query, "")
	}
	size := 0
	items := make([]value.Value, len(t.items))
	for i, x := range t.items {
		if t.object {
			field = t.keys[i] + ".$"
		}
		var err error
		if items[i], err = x.eval(f, input, field); err != nil {
			return value.Value{}, err
		}
		if size += items[i].Size(); size > maxEvaluated {
			return value.Value{}, tooLarge(f.st.name)
		}
	}
	if !t.object {
		return value.OfArray(items), nil
	}
	members := make([]value.Member, len(items))
	for i, v := range items {
		members[i] = value.Member{Key: t.keys[i], Value: v}
	}
	return value.OfObject(members...), nil
}

// eval is what the expression gives in input; field is for the error text.
func (e *expression) eval(f *frame, input value.Value, field string) (value.Value, error) {
	if e.call != nil {
		v, err := e.call.Eval(intrinsic.Args{Input: input, Context: f.context(), Variable: f.variable, Rand: f.rand()})
		if err != nil {
			return v, f.callFault(e.call, err)
		}
		return v, nil
	}
	root, ok := f.root(e.path, input)
	if !ok {
		return root, f.noVariable(e.path)
	}
	v, err := e.path.Select(root)
	if err == nil {
		return v, nil
	}
	missing, ok := err.(*jsonpath.NotFoundError)
	if !ok {
		return v, f.runtime("Invalid path '%s' : %v", e.path, err)
	}
	if missing.PastEnd {
		return value.Value{}, nil // null, in AWS's templates alone
	}
	if !e.path.Definite() {
		return value.OfArray(nil), nil
	}
	fault := f.runtime("The JSONPath '%s' specified for the field '%s' could not be found in the input '%s'", e.path, field, root)
	fault.alias = ErrParameterPathFailure
	return v, fault
}
