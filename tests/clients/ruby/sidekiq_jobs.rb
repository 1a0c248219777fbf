# Sidekiq: jobs are enqueued one by one and in bulk, worked on by a process of its own, retried, scheduled, and given up; none is
# lost when the server is killed, and the worker goes on across its restart.

require "sidekiq"
require "sidekiq/api"
require_relative "program"

connection = { url: "redis://127.0.0.1:#{PORT}/0", namespace: NAMESPACE }.compact
Sidekiq.configure_client { |config| config.redis = connection }
Sidekiq.configure_server do |config|
  config.redis = connection
  # How often what is due is looked for; 15 s by default.
  Sidekiq.options[:poll_interval_average] = 0.5
end

class Note
  include Sidekiq::Worker

  def perform(name)
    Sidekiq.redis { |redis| redis.sadd("done", name) }
  end
end

class FailsOnce
  include Sidekiq::Worker
  sidekiq_options retry: 3
  sidekiq_retry_in { 1 }

  def perform
    attempts = Sidekiq.redis { |redis| redis.incr("attempts") }
    raise "not yet" if attempts < 2

    Sidekiq.redis { |redis| redis.sadd("done", "at last") }
  end
end

class AlwaysFails
  include Sidekiq::Worker
  # Dead at the first failure.
  sidekiq_options retry: 0

  def perform
    raise "never"
  end
end

# Sidekiq's own process on these queues.
class Work
  def initialize(*queues)
    command = ["sidekiq", "-r", File.expand_path(__FILE__), "-c", "3", "-t", "5"]
    queues.each { |queue| command.push("-q", queue) }
    environment = { "FASTKEEP_PORT" => PORT.to_s, "RUBYOPT" => "-W0" }
    @process = spawn(environment, *command, out: :err, in: "/dev/null")
  end

  def stop
    Process.kill("TERM", @process)
    Process.wait(@process)
  end
end

def done
  Sidekiq.redis { |redis| redis.smembers("done") }
end

def all_done(names)
  wait_until("#{names.size} jobs are done") { (names - done).empty? }
end

def main
  Sidekiq.redis(&:flushall)
  first = (1..20).map { |n| "first #{n}" }
  first.each { |name| Note.perform_async(name) }
  bulk = (1..200).map { |n| "bulk #{n}" }
  Sidekiq::Client.push_bulk("class" => Note, "args" => bulk.map { |name| [name] })
  FailsOnce.perform_async
  AlwaysFails.perform_async
  raise "queue" unless Sidekiq::Queue.new.size == 222

  worker = Work.new("default")
  all_done(first + bulk + ["at last"])
  wait_until("a job is dead") { Sidekiq::DeadSet.new.map { |job| job["error_message"] } == ["never"] }
  wait_until("the worker shows itself") { Sidekiq::ProcessSet.new.size == 1 }

  # The worker waits for jobs, others lie in a queue that nobody works on yet, or are scheduled.
  kept = (1..50).map { |n| "kept #{n}" }
  kept.each { |name| Sidekiq::Client.push("class" => Note, "args" => [name], "queue" => "later") }
  Note.perform_in(2, "scheduled")
  Note.perform_in(3600, "much later")
  raise "scheduled" unless Sidekiq::ScheduledSet.new.size == 2

  restart
  # What is in the queue, oldest first.
  raise "lost" unless Sidekiq::Queue.new("later").map { |job| job.args.first }.reverse == kept

  after = (1..20).map { |n| "after #{n}" }
  after.each { |name| Note.perform_async(name) }
  all_done(after + ["scheduled"])
  second = Work.new("later")
  all_done(kept)
  left = Sidekiq::ScheduledSet.new.map { |job| job.args.first }
  raise "left: #{left}" unless left == ["much later"]

  worker.stop
  second.stop
  raise "processes" unless Sidekiq::ProcessSet.new.size.zero?

  wanted = first + bulk + kept + after + ["scheduled", "at last"]
  raise "done: #{done.size}" unless done.sort == wanted.sort

  stats = Sidekiq::Stats.new
  raise "stats: #{stats.processed}, #{stats.failed}" unless stats.processed >= wanted.size && stats.failed >= 2

  shown "enqueue, bulk, work, retry, schedule, dead jobs, a worker across a restart"
end

main if $PROGRAM_NAME == __FILE__
