package source

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// What happens in a fleet. Times are means of exponential distributions.
const (
	busyShare     = 0.6              // of the GPUs that have a job, around which a fleet moves
	busySwing     = 0.15             // up and down
	busyPeriod    = 25 * time.Minute // of the swing
	arrivalGap    = 8 * time.Second  // between jobs that ask for a place, for each arrivalGPUs
	arrivalGPUs   = 32
	hangingShare  = 0.3             // of the ended jobs that leave memory behind
	hangingTime   = 6 * time.Minute // until somebody frees it
	xidGap        = 4 * time.Minute // between XIDs in a fleet of any size
	xidResetAfter = 20 * time.Minute
	stragglerHeat = 1.9     // times the heat resistance of a healthy device
	hostInletLow  = 21.0    // °C
	hostInletSpan = 5.0     // °C between the coolest and the warmest place
	fleetStream   = 1 << 63 // of the random numbers: apart from every GPU's own
)

// simFleet is all hosts and what runs on them.
type simFleet struct {
	random *rand.Rand
	gpus   []*simGPU // by host and index
	hosts  [][]*simGPU
	jobs   []*simJob
	age    time.Duration
}

func newSimFleet(o SimOptions) *simFleet {
	f := &simFleet{random: rand.New(rand.NewPCG(o.Seed, fleetStream))}
	for h := range o.Hosts {
		inlet := hostInletLow + hostInletSpan*f.random.Float64()
		for i := range o.GPUs {
			name := fmt.Sprintf("sim-node-%03d", h+1)
			f.gpus = append(f.gpus, newSimGPU(o.Seed, name, inlet, i, len(f.gpus)))
		}
	}
	f.hosts = slices.Collect(slices.Chunk(f.gpus, o.GPUs))
	f.gpus[f.random.IntN(len(f.gpus))].cooling *= stragglerHeat
	return f
}

// play lets time pass, in steps that are short against every lag. After a long
// silence, such as a laptop's sleep, only the last of it is played.
func (f *simFleet) play(span time.Duration) {
	for rest := min(span, simWarmUp); rest > 0; rest -= simStep {
		f.step(min(rest, simStep))
	}
}

// step lets a short time pass for jobs and devices.
func (f *simFleet) step(dt time.Duration) {
	f.age += dt
	f.endJobs(dt)
	f.startJobs(dt)
	f.breakDevice(dt)
	for _, j := range f.jobs {
		j.step(dt)
	}
	for _, g := range f.gpus {
		g.step(dt)
	}
}

func (f *simFleet) endJobs(dt time.Duration) {
	f.jobs = slices.DeleteFunc(f.jobs, func(j *simJob) bool {
		if j.left -= dt; j.left > 0 {
			return false
		}
		f.release(j)
		return true
	})
}

// release takes a job off its devices; some of them never let go of the memory.
func (f *simFleet) release(j *simJob) {
	hangs := f.random.Float64() < hangingShare
	held, until := j.memory(), f.exponential(hangingTime)
	for _, g := range j.gpus {
		g.job = nil
		if hangs && f.random.Float64() < 0.5 {
			g.heldMiB, g.heldFor = held, until
		}
	}
}

func (f *simFleet) startJobs(dt time.Duration) {
	swing := busySwing * math.Sin(2*math.Pi*f.age.Seconds()/busyPeriod.Seconds())
	wanted := int(math.Ceil((busyShare + swing) * float64(len(f.gpus))))
	for range 1 + len(f.gpus)/arrivalGPUs {
		if f.busyGPUs() >= wanted {
			return
		}
		if f.random.Float64() < follow(dt, arrivalGap) {
			f.place()
		}
	}
}

func (f *simFleet) busyGPUs() int {
	busy := 0
	for _, j := range f.jobs {
		busy += len(j.gpus)
	}
	return busy
}

// place starts a job of a random kind on free devices of a random host: training
// takes all of them and those of the next host too, others take one or two.
func (f *simFleet) place() {
	kind := simKind(f.random.IntN(int(simKinds)))
	at := f.random.IntN(len(f.hosts))
	free := freeGPUs(f.hosts[at])
	switch {
	case len(free) == 0:
		return
	case kind != simTraining:
		free = free[:min(len(free), 1+f.random.IntN(2))]
	case at+1 < len(f.hosts) && f.random.Float64() < 0.4:
		free = append(free, freeGPUs(f.hosts[at+1])...)
	}
	job := newSimJob(kind, free, f.random)
	for _, g := range free {
		g.job = job
	}
	f.jobs = append(f.jobs, job)
}

func freeGPUs(of []*simGPU) []*simGPU {
	var free []*simGPU
	for _, g := range of {
		if !g.busy() {
			free = append(free, g)
		}
	}
	return free
}

// breakDevice lets a device report an XID now and then. What ends the process ends
// the whole job.
func (f *simFleet) breakDevice(dt time.Duration) {
	if f.random.Float64() >= follow(dt, xidGap) {
		return
	}
	g := f.gpus[f.random.IntN(len(f.gpus))]
	if g.job == nil {
		return // codes come from work
	}
	codes := [...]struct {
		code  float64
		fatal bool // for the process
	}{{13, true}, {31, true}, {43, true}, {45, true}, {63, false}, {92, false}, {94, true}, {48, true}, {79, true}}
	pick := codes[f.random.IntN(len(codes))]
	g.xid, g.xidFor = pick.code, xidResetAfter
	if pick.fatal {
		g.job.left = 0
	}
}

func (f *simFleet) exponential(mean time.Duration) time.Duration {
	return time.Duration(f.random.ExpFloat64() * float64(mean))
}
