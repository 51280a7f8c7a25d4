// The machine of the cycle model: runs the programs of hw/programs.py, with the channels and pipes of hw/timing.py.
//
// A network is a list of numbers, see sim/cycles.py: pipes, channel and latency of each; programs, words and code of
// each. It is run with the depths of the channels (-1: endless) and a number of frames.
// An instruction is its number followed by its fields; of several channels, how many come first.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace {

using Cycle = std::int64_t;
using Words = const std::int64_t *;
constexpr Cycle UNKNOWN = -1;
constexpr std::int64_t ENDED = -1, TIRED = -2;
constexpr int WHILE = 256;  // instructions

enum Instruction : std::int64_t {
  STEP, SKIP, TAKE, GIVE, MOVE, ARRIVED, ROOM, WRITTEN, GONE, READ, WRITE, COPY, SHARE, REPEAT
};

struct Channel {
  Cycle depth = -1;
  int feeder = -1;
  std::vector<Cycle> writes, reads;
  std::vector<int> waiters;

  Cycle available() const { return reads.size() < writes.size() ? writes[reads.size()] + 1 : UNKNOWN; }
  Cycle room() const {
    const Cycle beat = static_cast<Cycle>(writes.size()) - depth;
    if (depth < 0 || beat < 0) return 0;
    return beat < static_cast<Cycle>(reads.size()) ? reads[beat] + 1 : UNKNOWN;
  }
};

struct Pipe {
  int out;
  Cycle latency;
  std::deque<Cycle> fired;                      // firings whose output has not been handshaked yet
  std::deque<std::pair<Cycle, Cycle>> stalls;   // frozen cycles [from, to)

  // Cycle in which the oldest output in the pipeline becomes valid.
  Cycle valid() const {
    Cycle cycle = fired.front() + latency;
    for (const auto &stall : stalls)
      if (stall.first > fired.front()) cycle += stall.second - stall.first;
    return cycle;
  }
  // First cycle from this one on in which the pipeline is not frozen.
  Cycle settle(Cycle cycle) const {
    if (!fired.empty() && valid() <= cycle) return UNKNOWN;
    for (const auto &stall : stalls)
      if (stall.first <= cycle && cycle < stall.second) cycle = stall.second;
    return cycle;
  }
  // Cycle of the last of so many firings after this one.
  Cycle skip(Cycle cycle, Cycle firings) const {
    Cycle last = cycle + firings;
    for (const auto &stall : stalls)
      if (stall.second > cycle + 1 && stall.first <= last) last += stall.second - std::max(stall.first, cycle + 1);
    return !fired.empty() && valid() <= last ? UNKNOWN : last;
  }
};

struct Loop {
  Words start, end;
  std::int64_t left;
};

struct Process {
  Words begin, end, at;
  std::int64_t frame = 0, done = 0;  // done: turns of the instruction that is under way
  Cycle cycle = -1;
  std::vector<Loop> loops;
};

struct Network {
  std::vector<Channel> channels;
  std::vector<Pipe> pipes;
  std::vector<Process> processes;
  std::deque<int> ready;
  std::int64_t frames = 0;

  explicit Network(Words words) {
    pipes.resize(*words++);
    for (Pipe &pipe : pipes) {
      pipe.out = static_cast<int>(*words++);
      pipe.latency = *words++;
    }
    processes.resize(*words++);
    for (Process &process : processes) {
      const std::int64_t length = *words++;
      process.begin = words;
      process.end = words += length;
    }
  }

  void run(Words depths, std::int64_t count, std::int64_t wanted) {
    frames = wanted;
    channels.resize(count);
    for (std::int64_t i = 0; i < count; ++i) {
      Channel &channel = channels[i];
      channel.depth = depths[i];
      channel.writes.clear();  // which keeps their memory
      channel.reads.clear();
      channel.waiters.clear();
    }
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      channels[pipes[i].out].feeder = static_cast<int>(i);
      pipes[i].fired.clear();
      pipes[i].stalls.clear();
    }
    ready.clear();
    for (std::size_t i = 0; i < processes.size(); ++i) {
      Process &p = processes[i];
      p.at = p.begin;
      p.frame = p.done = 0;
      p.cycle = -1;
      p.loops.clear();
      ready.push_back(static_cast<int>(i));
    }
    proceed();
  }

  void proceed() {
    while (!ready.empty()) {
      const int number = ready.front();
      ready.pop_front();
      const std::int64_t waits = proceed(processes[number]);
      if (waits >= 0)
        channels[waits].waiters.push_back(number);
      else if (waits == TIRED)
        ready.push_back(number);
    }
  }

  void wake(Channel &channel) {
    if (channel.waiters.empty()) return;
    ready.insert(ready.end(), channel.waiters.begin(), channel.waiters.end());
    channel.waiters.clear();
  }
  void read(std::int64_t number, Cycle cycle) {
    Channel &channel = channels[number];
    channel.reads.push_back(cycle);
    if (channel.feeder >= 0 && !pipes[channel.feeder].fired.empty()) advance(pipes[channel.feeder]);
    wake(channel);
  }
  void write(std::int64_t number, Cycle cycle) {
    channels[number].writes.push_back(cycle);
    wake(channels[number]);
  }
  // Hands over the outputs for which there is room.
  void advance(Pipe &pipe) {
    for (Cycle room; !pipe.fired.empty() && (room = channels[pipe.out].room()) != UNKNOWN;) {
      Cycle valid = pipe.valid();
      if (room > valid) {
        pipe.stalls.emplace_back(valid, room);
        valid = room;
      }
      pipe.fired.pop_front();
      write(pipe.out, valid);
    }
  }
  // A firing in this cycle produces an output beat.
  void push(Pipe &pipe, Cycle cycle) {
    if (pipe.fired.empty() && pipe.stalls.empty()) {  // the usual case, without the queue
      const Cycle room = channels[pipe.out].room();
      if (room != UNKNOWN && room <= cycle + pipe.latency) return write(pipe.out, cycle + pipe.latency);
    }
    const Cycle oldest = pipe.fired.empty() ? cycle : pipe.fired.front();
    while (!pipe.stalls.empty() && pipe.stalls.front().second <= oldest) pipe.stalls.pop_front();
    pipe.fired.push_back(cycle);
    if (pipe.fired.size() == 1) advance(pipe);
  }

  // Runs a process as far as it goes, a while at most, so that what it writes is read while it is still in the cache.
  // Returns the channel for which it waits, TIRED, or ENDED.
  std::int64_t proceed(Process &p) {
    for (int left = WHILE; left > 0; --left) {
      while (!p.loops.empty() && p.at == p.loops.back().end) {
        if (--p.loops.back().left > 0)
          p.at = p.loops.back().start;
        else
          p.loops.pop_back();
      }
      if (p.at == p.end) {
        if (++p.frame == frames) return ENDED;
        p.at = p.begin;
      }
      Words w = p.at + 1, next = w;
      switch (*p.at) {
        case STEP: {
          const std::int64_t sources = *w++;
          Pipe &pipe = pipes[w[sources]];
          const bool produces = w[sources + 1];
          for (; p.done < w[sources + 2]; ++p.done) {
            Cycle cycle = p.cycle + 1;
            for (std::int64_t i = 0; i < sources; ++i) {
              const Cycle arrival = channels[w[i]].available();
              if (arrival == UNKNOWN) return w[i];
              cycle = std::max(cycle, arrival);
            }
            if ((cycle = pipe.settle(cycle)) == UNKNOWN) return pipe.out;
            p.cycle = cycle;
            for (std::int64_t i = 0; i < sources; ++i) read(w[i], cycle);
            if (produces) push(pipe, cycle);
          }
          next = w + sources + 3;
          break;
        }
        case SKIP: {
          const Cycle cycle = pipes[w[0]].skip(p.cycle, w[1]);
          if (cycle == UNKNOWN) return pipes[w[0]].out;
          push(pipes[w[0]], p.cycle = cycle);
          next = w + 2;
          break;
        }
        case TAKE:
          for (; p.done < w[1]; ++p.done) {
            const Cycle arrival = channels[w[0]].available();
            if (arrival == UNKNOWN) return w[0];
            read(w[0], p.cycle = std::max(p.cycle + 1, arrival));
          }
          next = w + 2;
          break;
        case GIVE:
          for (; p.done < w[1]; ++p.done) {
            const Cycle room = channels[w[0]].room();
            if (room == UNKNOWN) return w[0];
            const Cycle due = p.frame * w[2] + p.done * w[2] / w[1];
            write(w[0], p.cycle = std::max({p.cycle + 1, room, due}));
          }
          next = w + 3;
          break;
        case MOVE:
          for (; p.done < w[2]; ++p.done) {
            const Cycle arrival = channels[w[0]].available(), room = channels[w[1]].room();
            if (arrival == UNKNOWN) return w[0];
            if (room == UNKNOWN) return w[1];
            p.cycle = std::max({p.cycle + 1, arrival, room});
            read(w[0], p.cycle);
            write(w[1], p.cycle);
          }
          next = w + 3;
          break;
        case ARRIVED: {
          const Cycle arrival = channels[w[0]].available();
          if (arrival == UNKNOWN) return w[0];
          p.cycle = std::max(p.cycle, arrival - 1);
          next = w + 1;
          break;
        }
        case ROOM: {
          const Cycle room = channels[w[0]].room();
          if (room == UNKNOWN) return w[0];
          p.cycle = std::max(p.cycle, room - 1);
          next = w + 1;
          break;
        }
        case WRITTEN: {
          const std::int64_t beat = w[1] * p.frame + w[2];
          if (beat >= 0) {
            if (beat >= static_cast<std::int64_t>(channels[w[0]].writes.size())) return w[0];
            p.cycle = std::max(p.cycle, channels[w[0]].writes[beat] - w[3]);
          }
          next = w + 4;
          break;
        }
        case GONE: {
          const std::int64_t beat = w[1] * p.frame + w[2];
          if (beat >= static_cast<std::int64_t>(channels[w[0]].reads.size())) return w[0];
          p.cycle = std::max(p.cycle, channels[w[0]].reads[beat]);
          next = w + 3;
          break;
        }
        case READ:
          for (std::int64_t i = 0; i < w[1]; ++i) read(w[0], p.cycle);
          next = w + 2;
          break;
        case WRITE:
          write(w[0], p.cycle);
          next = w + 1;
          break;
        case COPY:
          for (; p.done < w[2]; ++p.done) {
            Channel &source = channels[w[0]], &out = channels[w[1]];
            const Cycle arrival = source.available(), room = out.room();
            if (source.reads.size() < out.writes.size() || arrival == UNKNOWN) return w[0];
            if (room == UNKNOWN) return w[1];
            p.cycle = std::max({arrival, room, source.reads.empty() ? 0 : source.reads.back() + 1});
            write(w[1], p.cycle);
          }
          next = w + 3;
          break;
        case SHARE: {
          const std::int64_t outs = w[1];
          for (; p.done < w[outs + 2]; ++p.done) {
            const std::size_t beat = channels[w[0]].reads.size();
            Cycle cycle = -1;
            for (std::int64_t i = 2; i < outs + 2; ++i) {
              if (channels[w[i]].writes.size() <= beat) return w[i];
              cycle = std::max(cycle, channels[w[i]].writes[beat]);
            }
            read(w[0], p.cycle = cycle);
          }
          next = w + outs + 3;
          break;
        }
        case REPEAT: {  // times, words of the body, the body
          next = w + 2;
          if (w[0] > 0)
            p.loops.push_back({w + 2, w + 2 + w[1], w[0]});
          else
            next = w + 2 + w[1];
          break;
        }
      }
      p.done = 0;
      p.at = next;
    }
    return TIRED;
  }
};

}  // namespace

extern "C" {

// The words must stay where they are.
void *cycles_new(Words words) { return new Network(words); }

void cycles_delete(void *network) { delete static_cast<Network *>(network); }

void cycles_run(void *network, Words depths, std::int64_t channels, std::int64_t frames) {
  static_cast<Network *>(network)->run(depths, channels, frames);
}

// The cycles in which beats of a channel were written, or read; returns how many.
std::int64_t cycles_of(void *network, std::int64_t channel, int reads, Words *times) {
  const Channel &found = static_cast<Network *>(network)->channels[channel];
  const std::vector<Cycle> &cycles = reads ? found.reads : found.writes;
  *times = cycles.data();
  return static_cast<std::int64_t>(cycles.size());
}
}
