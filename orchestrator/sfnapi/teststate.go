package sfnapi

import "context"

type testStateInput struct{}

func (s *Server) testState(_ context.Context, in testStateInput) (any, error) {
	return nil, refuse("UnknownOperationException", "")
}
