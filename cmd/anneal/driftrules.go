package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/witness"
	"github.com/anneal-ml/anneal/objects"
)

// askRules reads once more what rules need beside the profiles: the chunks of the
// reference, what of it is of the same season, or the rows of both for a witness. It says
// why columns are compared alone, where a target is named or might be.
func askRules(ctx context.Context, opt *drift.Options, reference, current string, ref, cur *profile.Profile) (alone string, err error) {
	if opt.Rules == drift.AnnealRules {
		if opt.Seasons, err = seasonsOf(ctx, reference, ref, cur, opt.Season); err != nil {
			return "", err
		}
	}
	switch {
	case opt.Target != "" && ref.Column(opt.Target) == nil && cur.Column(opt.Target) == nil:
		return "", fmt.Errorf("--target: there is no column %q in %s or %s", opt.Target, reference, current)
	case opt.Rules == drift.AnnealRules && opt.Target == "":
		if name := likely(ref); name != "" {
			alone = fmt.Sprintf("none is named: --target %s, if that is what a model predicts", name)
		}
	case opt.Rules == drift.NannyMLRules:
		opt.Chunks, err = chunksOf(ctx, reference, ref)
	case opt.Rules == drift.AnnealRules && opt.Target != "":
		err = askWitness(ctx, opt, reference, current, ref)
		if errors.Is(err, witness.ErrNoWitness) || errors.Is(err, errKept) {
			return err.Error(), nil
		}
		if err == nil && opt.Quality == nil {
			alone = "too few rows of " + current + " have the target"
		}
	}
	return alone, err
}

// likely is the column that by its name is what a model predicts, if there is one. It is
// for people to say: where it were none, a witness of it would keep alarms back.
func likely(ref *profile.Profile) string {
	for _, c := range ref.Columns {
		if slices.Contains([]string{"target", "label", "class", "y"}, strings.ToLower(c.Name)) && (c.Type == dataset.Numeric || c.Type == dataset.Categorical) {
			return c.Name
		}
	}
	return ""
}

func askWitness(ctx context.Context, opt *drift.Options, reference, current string, ref *profile.Profile) error {
	w, err := witnessOf(ctx, reference, ref, *opt)
	if err != nil {
		return err
	}
	rows, err := witnessRows(ctx, current, ref)
	if err != nil {
		return err
	}
	opt.Ask(w, rows)
	return nil
}

func witnessOf(ctx context.Context, reference string, ref *profile.Profile, opt drift.Options) (*witness.Witness, error) {
	rows, err := witnessRows(ctx, reference, ref)
	if err != nil {
		return nil, err
	}
	return witness.New(rows, opt.Target, drift.WitnessColumns(ref, opt))
}

// seasonsOf are the parts of a reference that are of the same season as current data,
// where a column of both has the time.
func seasonsOf(ctx context.Context, reference string, ref, cur *profile.Profile, choice drift.Season) ([]drift.Part, error) {
	column, of, now := drift.TimeOf(ref, cur)
	var parts []drift.Part
	for _, phase := range drift.Phases(of, now, choice) {
		var own []*profile.Profile
		err := each(ctx, reference, func(r io.Reader, uri string) error {
			p, err := profile.BuildPart(ctx, r, uri, dataset.Options{Found: ref.Schema()}, column, phase.Has)
			own = append(own, p)
			return err
		})
		switch {
		case errors.Is(err, errKept) && choice == drift.AnySeason:
			return nil, nil
		case errors.Is(err, errKept):
			return nil, fmt.Errorf("--season %s: %w", choice, err)
		case err != nil:
			return nil, err
		}
		parts = append(parts, drift.Part{Phase: phase, Profile: profile.Merge(own...)})
	}
	return parts, nil
}

// witnessRows reads the rows that a name stands for, as the reference was read.
func witnessRows(ctx context.Context, name string, ref *profile.Profile) (*witness.Rows, error) {
	rows := &witness.Rows{}
	return rows, each(ctx, name, func(r io.Reader, uri string) error {
		return rows.Add(ctx, r, uri, dataset.Options{Found: ref.Schema()})
	})
}

// compareRows looks at all columns of both together.
func compareRows(ctx context.Context, reference, current string, ref *profile.Profile, opt drift.Options) ([]drift.Joint, error) {
	a, err := witnessRows(ctx, reference, ref)
	if err != nil {
		return nil, err
	}
	b, err := witnessRows(ctx, current, ref)
	if err != nil {
		return nil, err
	}
	t, err := witness.Compare(a, b, drift.WitnessColumns(ref, opt))
	if err != nil {
		return nil, err
	}
	return drift.Joined(t), nil
}

// writeJoint says how all columns together differ.
func writeJoint(w io.Writer, tests []drift.Joint) {
	for _, t := range tests {
		switch t.Test.Test {
		case "classifier":
			by := ""
			for i, b := range t.By {
				by += fmt.Sprintf("%s %s %.0f %%", map[bool]string{true: ", by", false: ","}[i == 0], printable(b.Column), 100*b.Share)
			}
			fmt.Fprintf(w, "together: rows are told apart with an AUC of %.3f (%.3f to %.3f, threshold %.2f)%s: %s\n", t.Statistic, t.Low, t.High, t.Threshold, by, t.Verdict)
		case "pca":
			fmt.Fprintf(w, "together: principal components lose %.4g (threshold %.4g): %s (advisory)\n", t.Statistic, t.Threshold, t.Verdict)
		case "mmd":
			fmt.Fprintf(w, "together: maximum mean discrepancy %.3g (p %s): %s (advisory)\n", t.Statistic, shuffled(*t.PValue), t.Verdict)
		}
	}
}

// shuffled is a probability of which shuffles see no less than that of one.
func shuffled(p float64) string {
	if p == 0 {
		return fmt.Sprintf("< %.2g", 1.0/witness.Shuffles)
	}
	return fmt.Sprintf("%.2g", p)
}

// readAgain reads columns again whose verdict sketches leave open, or all that
// sketches stand for: both sides at the same time.
func readAgain(ctx context.Context, reference, current string, types map[string]dataset.Type, again *drift.Again) (map[string]drift.Exact, error) {
	defer keepSmaller()()
	for again.More() {
		ctx, cancel := context.WithCancelCause(ctx)
		side := func(name string, read func(context.Context, io.Reader, string, dataset.Options) error) {
			err := each(ctx, name, func(r io.Reader, uri string) error {
				return read(ctx, r, uri, dataset.Options{Found: types})
			})
			if err != nil {
				cancel(err) // the other side is not needed either
			}
		}
		var both sync.WaitGroup
		both.Go(func() { side(reference, again.Reference) })
		side(current, again.Current)
		both.Wait()
		err := context.Cause(ctx)
		cancel(nil)
		if errors.Is(err, errKept) || errors.Is(err, objects.ErrTorn) {
			break // the intervals stay
		}
		if err != nil {
			return nil, err
		}
	}
	return again.Exact(), nil
}

// chunkCount is how many chunks NannyML makes of a reference by default.
const chunkCount = 10

func chunksOf(ctx context.Context, name string, ref *profile.Profile) (chunks []*profile.Profile, err error) {
	size := max(1, (ref.Counts.Rows+chunkCount-1)/chunkCount)
	err = each(ctx, name, func(r io.Reader, uri string) error {
		of, err := profile.BuildChunks(ctx, r, uri, dataset.Options{Found: ref.Schema()}, size)
		chunks = append(chunks, of...)
		return err
	})
	return chunks, err
}

// inputs are the objects that a name stands for, and where to open them.
func inputs(ctx context.Context, name string) (*objects.Store, []objects.Info, error) {
	store, err := anyObjects()
	if err != nil {
		return nil, nil, err
	}
	list, err := store.Glob(ctx, name)
	return store, list, err
}

// errKept is why there are no rows to read.
var errKept = errors.New("it is a kept profile, and rows are needed")

// each opens the objects that a name stands for, one after another.
func each(ctx context.Context, name string, read func(r io.Reader, uri string) error) error {
	store, list, err := inputs(ctx, name)
	if err != nil {
		return err
	}
	for _, info := range list {
		if path.Ext(objects.Name(info.URI)) == profileExt {
			return fmt.Errorf("%s: %w", info.URI, errKept)
		}
		r, _, err := store.Open(ctx, info.URI)
		if err != nil {
			return err
		}
		err = read(r, info.URI)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func writeWitness(w io.Writer, c drift.Comparison) error {
	if c.ColumnsAlone != "" {
		if _, err := fmt.Fprintln(w, "note: not judged by the target: "+printable(c.ColumnsAlone)); err != nil {
			return err
		}
	}
	if c.Quality != nil {
		for _, m := range c.Quality.Metrics {
			_, err := fmt.Fprintf(w, "witness: %s %.4g → %.4g, worse by %.2g (%.2g to %.2g, tolerance %.2g): %s\n",
				m.Metric, m.Reference, m.Current, m.Worse, m.Low, m.High, m.Tolerance, m.Verdict)
			if err != nil {
				return err
			}
		}
	}
	if o := c.Outlook; o != nil {
		_, err := fmt.Fprintf(w, "witness, without the target: predictions moved by %.2g, %.2g of the rows strange to it (tolerance %.2g): %s\n",
			o.Shift, o.Strange, o.Tolerance, o.Verdict)
		return err
	}
	return nil
}

// date says since which of several files columns have drifted. It reads them
// again, one by one.
func date(ctx context.Context, c *drift.Comparison, current string, ref *profile.Profile, opt drift.Options) error {
	store, list, err := inputs(ctx, current)
	if err != nil || len(list) < 2 {
		return err
	}
	var parts []*profile.Profile
	var names []string
	for _, info := range list {
		p, err := profileOf(ctx, store, info, ref.Schema())
		if err != nil {
			return err
		}
		parts, names = append(parts, p), append(names, info.URI)
	}
	c.Date(ref, parts, names, opt)
	return nil
}
