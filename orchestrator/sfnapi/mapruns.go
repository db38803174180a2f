package sfnapi

import "context"

type mapRunInput struct {
	Execution string `json:"executionArn"`
	ARN       string `json:"mapRunArn"`
}

// listMapRuns answers the map runs of an execution: the engine has none.
func (s *Server) listMapRuns(ctx context.Context, in mapRunInput) (any, error) {
	if _, _, _, err := s.execution(ctx, in.Execution); err != nil {
		return nil, err
	}
	return struct {
		Items []any `json:"mapRuns"`
	}{[]any{}}, nil
}

// describeMapRun finds no map run.
func (s *Server) describeMapRun(_ context.Context, in mapRunInput) (any, error) {
	if _, err := parseARN(in.ARN, "mapRun"); err != nil {
		return nil, err
	}
	return nil, noResource(in.ARN)
}
