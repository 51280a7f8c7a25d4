# A recording stand-in for Vivado and Vitis HLS: it knows the commands, options, IP properties and pins that the
# emitted scripts may use, checks that named files exist, and leaves the files that the real tools would leave.
#
#   tclsh stand_in.tcl SCRIPT [ARGUMENT...]
#
# Environment: BX_SLACK is the slack that the implementation reports (0.5); BX_UTILIZATION is the file with its
# hierarchical table; BX_HANDOFF is gen or srcs (gen), the folder of the handoff file; BX_BOARD is 0 if the board's files
# are not installed; BX_PART is 0 if the device is not; BX_MAP is 1 if the packager makes memory maps by itself;
# BX_CSYNTH is the report that the synthesis of Vitis HLS leaves (none). Prints the log of calls.

# The scripts must run in Tcl 8.5.
foreach command {lmap try throw tailcall coroutine yield} {
    rename $command {}
}
namespace ensemble configure dict -map [dict remove [namespace ensemble configure dict -map] map]
namespace ensemble configure string -map [dict remove [namespace ensemble configure string -map] cat]

# The scripts have the global variables for themselves.
namespace eval vivado {}
set ::vivado::log {}
proc note {args} {
    lappend ::vivado::log $args
}
proc fail {text} {
    error "stand-in: $text"
}
proc setting {name default} {
    return [expr {[info exists ::env($name)] ? $::env($name) : $default}]
}

# Checks a command's options. `flags` take no value, `valued` take one, `rest` is the number of other words.
proc options {name words flags valued rest} {
    set others {}
    set found {}
    for {set i 0} {$i < [llength $words]} {incr i} {
        set word [lindex $words $i]
        if {$word in $flags} {
            dict set found $word 1
        } elseif {$word in $valued} {
            incr i
            if {$i >= [llength $words]} {
                fail "$name: $word needs a value"
            }
            dict set found $word [lindex $words $i]
        } elseif {[string match -* $word] && ![string is double $word]} {
            fail "$name has no option $word"
        } else {
            lappend others $word
        }
    }
    if {[llength $others] < [lindex $rest 0] || [llength $others] > [lindex $rest end]} {
        fail "$name takes [join $rest ..] other words, not [llength $others]: $others"
    }
    note $name {*}$words
    lappend ::vivado::called $name
    dict set found rest $others
    return $found
}
# The one other word of a command.
proc word {name words {flags {}} {valued {}}} {
    return [lindex [dict get [options $name $words $flags $valued {1 1}] rest] 0]
}
# Commands that must have been called since the last one of another kind: `since` forgets, `need` fails.
set ::vivado::called {}
proc since {args} {
    foreach name $args {
        set ::vivado::called [lsearch -all -inline -not -exact $::vivado::called $name]
    }
}
proc need {what args} {
    foreach name $args {
        if {$name ni $::vivado::called} {
            fail "$what before $name"
        }
    }
}
# Defines commands that do nothing but to be noted.
proc silent {rest args} {
    foreach name $args {
        proc $name {args} "options $name \$args {-force -reset} {-fileset -timeout -name -flow_target} {$rest}"
    }
}
proc read_whole {path} {
    set file [open $path]
    set text [read $file]
    close $file
    return $text
}
proc write_whole {path text} {
    set file [open $path w]
    puts -nonewline $file $text
    close $file
}
proc need_file {path} {
    if {![file isfile $path]} {
        fail "there is no file $path"
    }
}

set ::vivado::project {}
set ::vivado::files {}
set ::vivado::properties {}
set here [file dirname [file normalize [info script]]]
foreach part {projects packager blocks runs vitis_hls} {
    source [file join $here $part.tcl]
}

rename exit real_exit
proc exit {{code 0}} {
    foreach call $::vivado::log {
        puts "CALL $call"
    }
    real_exit $code
}
set script [lindex $argv 0]
set argv [lrange $argv 1 end]
set argc [llength $argv]
unset here part
if {[catch {source $script} message]} {
    puts stderr $message
    real_exit 1
}
exit
