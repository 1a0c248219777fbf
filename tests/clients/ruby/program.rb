# What the Ruby programs share; see python/program.py.

PORT = Integer(ENV["FASTKEEP_PORT"] || ARGV.fetch(0))
# In front of all names: with several shards what one transaction uses must be in one.
NAMESPACE = Integer(ENV.fetch("FASTKEEP_SHARDS", "1")) > 1 ? "{one}" : nil

# The server is killed; returns when it serves again.
def restart
  puts "RESTART"
  $stdout.flush
  raise "no restart" unless $stdin.gets.strip == "restarted"
end

def wait_until(what, seconds = 60)
  ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
  until yield
    raise "#{what}: not within #{seconds} s" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > ends

    sleep 0.05
  end
end

def shown(what)
  puts "shown: #{what}"
  $stdout.flush
end
