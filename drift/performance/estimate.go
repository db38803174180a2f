package performance

// Estimated is what performance is to be expected of a binary classifier.
type Estimated struct {
	Accuracy, Precision, Recall, F1, Specificity float64
	ROCAUC                                       float64
	AveragePrecision                             float64
}

// Estimate is confidence-based performance estimation (CBPE, NannyML 0.13): what
// to expect, without a label, where each row is of class 1 with its calibrated
// probability. The rank metrics go by the model's own scores.
func Estimate(calibrated, scores []float64, decisions []bool) Estimated {
	var tp, fp, tn, fn float64 // expected counts
	for i, p := range calibrated {
		if decisions[i] {
			tp += p
			fp += 1 - p
		} else {
			fn += p
			tn += 1 - p
		}
	}
	e := Estimated{
		Accuracy:    (tp + tn) / float64(len(calibrated)),
		Precision:   ratio(tp, tp+fp),
		Recall:      ratio(tp, tp+fn),
		F1:          ratio(tp, tp+(fp+fn)/2),
		Specificity: ratio(tn, tn+fp),
	}
	// Each row is a point of its own on both curves, also beside equal scores.
	var positives, negatives, area, precision float64
	for rows, i := range falling(scores) {
		p := calibrated[i]
		area += (1 - p) * (positives + p/2)
		positives += p
		negatives += 1 - p
		precision += p * positives / float64(rows+1)
	}
	e.ROCAUC = area / (positives * negatives)
	e.AveragePrecision = precision / positives
	return e
}
