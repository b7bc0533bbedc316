package source

import (
	"math"
	"math/rand/v2"
	"time"
)

// simKind is a kind of work.
type simKind int

const (
	simTraining simKind = iota // whole hosts, full load with pauses for checkpoints
	simServing                 // one or two devices, load that comes and goes
	simNotebook                // one or two devices, short bursts between long thinking
	simKinds
)

const (
	loadingTime    = 20 * time.Second // a job reads its data before it computes
	checkpointTime = 12 * time.Second // training writes its state meanwhile
	burstTime      = 15 * time.Second // of a notebook
	shortestJob    = time.Minute
)

// simJob is one piece of work on some devices, which all do the same.
type simJob struct {
	kind simKind
	gpus []*simGPU
	age  time.Duration
	left time.Duration

	memoryMiB   float64 // on each device, once it is loaded
	memoryShare float64 // of the load that is on the memory
	intensity   float64 // power of full load, of what is possible
	period      time.Duration
	traffic     float64 // of serving, 0 to 1
	random      *rand.Rand
	slowest     float64 // MHz of the slowest device, which the others wait for
}

func newSimJob(kind simKind, gpus []*simGPU, random *rand.Rand) *simJob {
	between := func(low, high float64) float64 { return low + (high-low)*random.Float64() }
	j := &simJob{kind: kind, gpus: gpus, random: random, slowest: workClock, traffic: random.Float64()}
	mean := 12 * time.Minute
	switch kind {
	case simTraining:
		j.memoryMiB, j.memoryShare, j.intensity = between(55000, 77400), between(0.35, 0.6), between(0.7, 1)
		j.period = time.Duration(between(180, 420) * float64(time.Second))
	case simServing:
		j.memoryMiB, j.memoryShare, j.intensity = between(24000, 72000), between(0.4, 0.8), between(0.5, 0.75)
		mean = 20 * time.Minute
	default:
		j.memoryMiB, j.memoryShare, j.intensity = between(2000, 25000), between(0.1, 0.4), between(0.3, 0.7)
		j.period = time.Duration(between(60, 180) * float64(time.Second))
		mean = 8 * time.Minute
	}
	j.left = max(shortestJob, time.Duration(random.ExpFloat64()*float64(mean)))
	return j
}

// step moves the job on, before its devices.
func (j *simJob) step(dt time.Duration) {
	j.age += dt
	j.slowest = workClock
	for _, g := range j.gpus {
		// A device that has only just begun still has its idle clock.
		if g.clock >= throttledClock {
			j.slowest = math.Min(j.slowest, g.clock)
		}
	}
	if j.kind == simServing {
		j.traffic += (0.5-j.traffic)*follow(dt, time.Minute) + 0.05*math.Sqrt(dt.Seconds())*j.random.NormFloat64()
		j.traffic = math.Min(math.Max(j.traffic, 0.02), 1)
	}
}

// load is how much of a device the job would use now, 0 to 1.
func (j *simJob) load() float64 {
	if j.age < loadingTime {
		return 0
	}
	running := j.age - loadingTime
	switch j.kind {
	case simTraining:
		if running%j.period > j.period-checkpointTime {
			return 0.03
		}
		return 0.985
	case simServing:
		return j.traffic
	default:
		if running%j.period < burstTime {
			return 0.9
		}
		return 0
	}
}

// memory is what the job has taken on each device, in MiB: it grows while it loads.
func (j *simJob) memory() float64 {
	return j.memoryMiB * math.Min(1, float64(j.age)/float64(loadingTime))
}
