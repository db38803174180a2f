package engine

import "container/heap"

// times is a heap of executions, the earliest wake first. Each knows its place.
type times []*execution

func (h *times) add(x *execution)    { heap.Push((*timesHeap)(h), x) }
func (h *times) remove(x *execution) { heap.Remove((*timesHeap)(h), int(x.at)) }
func (h *times) take() *execution    { return heap.Pop((*timesHeap)(h)).(*execution) }

// timesHeap is times as package heap wants it.
type timesHeap []*execution

func (h timesHeap) Len() int           { return len(h) }
func (h timesHeap) Less(i, j int) bool { return h[i].wake.Before(h[j].wake) }
func (h timesHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = int32(i), int32(j)
}

func (h *timesHeap) Push(x any) {
	e := x.(*execution)
	e.at = int32(len(*h))
	*h = append(*h, e)
}

func (h *timesHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.at = -1
	return e
}
