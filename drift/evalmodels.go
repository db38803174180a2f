package drift

import (
	"encoding/json"
	"fmt"

	"github.com/anneal-ml/anneal/drift/performance"
)

// alike checks that lists are of one length, not empty, and of finite numbers.
func alike(lists ...[]float64) error {
	for _, list := range lists {
		if len(list) == 0 || len(list) != len(lists[0]) {
			return fmt.Errorf("lists of %d and %d values: want as many, and at least one", len(lists[0]), len(list))
		}
		if err := finite(list); err != nil {
			return err
		}
	}
	return nil
}

// classes are zeros and ones as decisions.
func classes(values []float64) ([]bool, error) {
	list := make([]bool, len(values))
	for i, v := range values {
		if v != 0 && v != 1 {
			return nil, fmt.Errorf("class %v: want 0 or 1", v)
		}
		list[i] = v == 1
	}
	return list, nil
}

type binary struct {
	Y, Score, Pred sample
	Threshold      float64 // of the scores, for class 1, where there is no pred
}

func evalBinary(b binary) (results, error) {
	if b.Pred == nil {
		b.Pred = make(sample, len(b.Score))
		for i, s := range b.Score {
			if s >= b.Threshold {
				b.Pred[i] = 1
			}
		}
	}
	if err := alike(b.Y, b.Score, b.Pred); err != nil {
		return nil, err
	}
	labels, err := classes(b.Y)
	if err != nil {
		return nil, err
	}
	decisions, err := classes(b.Pred)
	if err != nil {
		return nil, err
	}
	m := performance.NewBinary(labels, b.Score, decisions)
	return results{
		"confusion": results{"tn": m.Confusion.TrueNegatives, "fp": m.Confusion.FalsePositives,
			"fn": m.Confusion.FalseNegatives, "tp": m.Confusion.TruePositives},
		"accuracy": m.Accuracy, "precision": m.Precision, "recall": m.Recall, "f1": m.F1,
		"balanced_accuracy": m.BalancedAccuracy, "mcc": m.MCC, "kappa": m.Kappa,
		"brier": m.Brier, "log_loss": m.LogLoss,
		"roc_auc": m.ROCAUC, "average_precision": m.AveragePrecision,
	}, nil
}

// multiclass has labels that are strings, or any other value of JSON.
type multiclass struct{ Y, Pred []json.RawMessage }

func evalMulticlass(m multiclass) (results, error) {
	if len(m.Y) == 0 || len(m.Y) != len(m.Pred) {
		return nil, fmt.Errorf("lists of %d and %d values: want as many, and at least one", len(m.Y), len(m.Pred))
	}
	names := func(values []json.RawMessage) []string {
		list := make([]string, len(values))
		for i, v := range values {
			list[i] = string(v)
		}
		return list
	}
	r := performance.NewMulticlass(names(m.Y), names(m.Pred))
	return results{"accuracy": r.Accuracy, "macro_precision": r.MacroPrecision, "macro_recall": r.MacroRecall,
		"macro_f1": r.MacroF1, "weighted_f1": r.WeightedF1, "mcc": r.MCC, "kappa": r.Kappa}, nil
}

type regression struct{ Y, Pred sample }

func evalRegression(g regression) (results, error) {
	if err := alike(g.Y, g.Pred); err != nil {
		return nil, err
	}
	r := performance.NewRegression(g.Y, g.Pred)
	return results{"mse": r.MSE, "rmse": r.RMSE, "mae": r.MAE, "median_ae": r.MedianAE,
		"max_error": r.MaxError, "mape": r.MAPE, "r2": r.R2,
		"explained_variance": r.ExplainedVariance}, nil
}

type isotonic struct{ Score, Y, Query sample }

func evalIsotonic(c isotonic) (results, error) {
	if err := alike(c.Score, c.Y); err != nil {
		return nil, err
	}
	if err := finite(c.Query); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	curve := performance.NewIsotonic(c.Score, c.Y)
	predicted := make([]float64, len(c.Query))
	for i, score := range c.Query {
		predicted[i] = curve.At(score)
	}
	return results{"predicted": predicted}, nil
}

type estimation struct{ Calibrated, Score, Pred sample }

func evalCBPE(e estimation) (results, error) {
	if err := alike(e.Calibrated, e.Score, e.Pred); err != nil {
		return nil, err
	}
	for _, p := range e.Calibrated {
		if p < 0 || p > 1 {
			return nil, fmt.Errorf("calibrated probability %v: want 0 to 1", p)
		}
	}
	decisions, err := classes(e.Pred)
	if err != nil {
		return nil, err
	}
	r := performance.Estimate(e.Calibrated, e.Score, decisions)
	return results{"accuracy": r.Accuracy, "precision": r.Precision, "recall": r.Recall, "f1": r.F1,
		"specificity": r.Specificity, "roc_auc": r.ROCAUC, "average_precision": r.AveragePrecision}, nil
}
