package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/objects"
)

// profileExt is the extension of a profile that was kept.
const profileExt = ".profile"

func newDriftProfile() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "profile --output FILE" + profileExt + " DATA",
		Short: "Keep a profile of data, to compare with later",
		Long: `Read data once and keep what a comparison needs of them: some 50 KB a column at most,
whatever the rows. The file stands for the data wherever ` + "`anneal drift compare`" + ` takes
some; DATA is what it takes too: a file, folder, glob or URI.`,
		Example: "  anneal drift profile --output january.profile 'january/*.csv'\n" +
			"  anneal drift compare --reference january.profile --current february.csv",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if filepath.Ext(to) != profileExt {
				return usage(errors.New("profile needs --output, a file that ends in " + profileExt))
			}
			p, err := profileAll(cmd.Context(), args[0], nil)
			if err != nil {
				return usage(err)
			}
			if err := writeWhole(to, p.Encode()); err != nil {
				return broken(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d rows, %s\n", to, p.Counts.Rows, plural(len(p.Columns), "column", "columns"))
			return err
		},
	}
	c.Flags().StringVarP(&to, "output", "", "", "the file to keep it in")
	return c
}

// writeWhole writes a file that is there whole or not at all. A device or a pipe is
// written to: nothing is put in its place.
func writeWhole(name string, data []byte) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(name, data, 0)
	}
	store, err := objects.New(objects.Config{})
	if err != nil {
		return err
	}
	w, err := store.Create(context.Background(), name)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Commit()
}

// keptProfile reads a profile that was kept.
func keptProfile(ctx context.Context, store *objects.Store, o anneal.Object) (*profile.Profile, error) {
	r, _, err := store.OpenVersion(ctx, o.URI, versionOf(o))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	p, err := profile.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.URI, err)
	}
	return p, nil
}

// tornTries is how often a file is read that is written to meanwhile.
const tornTries = 3

// profileOf is the profile of one object, which may be a profile itself.
func profileOf(ctx context.Context, store *objects.Store, info objects.Info, found map[string]dataset.Type, uniques ...profile.Unique) (*profile.Profile, error) {
	if path.Ext(objects.Name(info.URI)) == profileExt {
		if len(uniques) > 0 {
			return nil, fmt.Errorf("%s: what repeats in data is not kept in their profile: name the data", info.URI)
		}
		return keptProfile(ctx, store, objectOf(info))
	}
	for try := 1; ; try++ {
		p, err := readProfile(ctx, store, objectOf(info), dataset.Options{Found: found}, uniques...)
		if !errors.Is(err, objects.ErrTorn) || try == tornTries {
			return p, err
		}
	}
}
