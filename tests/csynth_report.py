"""Reports of a synthesis in the structure that Vitis HLS gives its csynth.xml, with the elements that we read."""

from __future__ import annotations

from pathlib import Path

from bitexpert.hw.graph import Dataflow
from bitexpert.hw.ops.fifo import Fifo

LOOP = """
            <VITIS_LOOP_{line}_1>
              <Name>VITIS_LOOP_{line}_1</Name>
              <TripCount>{steps}</TripCount>
              <Latency>{steps}</Latency>
              <PipelineII>{ii}</PipelineII>
              <PipelineDepth>3</PipelineDepth>
              <PipelineType>yes</PipelineType>
              <InstanceList/>
            </VITIS_LOOP_{line}_1>"""
MODULE = """
      <Module>
        <Name>{name}</Name>
        <PerformanceEstimates>
          <SummaryOfOverallLatency>
            <Best-caseLatency>{steps}</Best-caseLatency>
            <PipelineInitiationInterval>{steps}</PipelineInitiationInterval>
          </SummaryOfOverallLatency>
          <SummaryOfLoopLatency>{loop}
          </SummaryOfLoopLatency>
        </PerformanceEstimates>
        <AreaEstimates><Resources><LUT>100</LUT><UTIL_LUT>~0</UTIL_LUT></Resources></AreaEstimates>
        <BindNodes>
          <BindNode BINDTYPE="op" DISPNAME="bind_op add" SOURCE="bx/a.hpp:{line}" VARIABLE="a->b"/>
        </BindNodes>
      </Module>"""
REPORT = """<profile>
  <ReportVersion><Version>2023.2</Version></ReportVersion>
  <UserAssignments>
    <unit>ns</unit>
    <TopModelName>accelerator</TopModelName>
    <TargetClockPeriod>10.00</TargetClockPeriod>
    <ClockUncertainty>2.70</ClockUncertainty>
  </UserAssignments>
  <PerformanceEstimates>
    <PipelineType>dataflow</PipelineType>
    <SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>{period}</EstimatedClockPeriod></SummaryOfTimingAnalysis>
    <SummaryOfOverallLatency>
      <unit>clock cycles</unit>
      <Best-caseLatency>{latency}</Best-caseLatency>
      <Average-caseLatency>{latency}</Average-caseLatency>
      <Worst-caseLatency>{latency}</Worst-caseLatency>
      <Worst-caseRealTimeLatency>7 us</Worst-caseRealTimeLatency>
      <DataflowPipelineThroughput>{interval}</DataflowPipelineThroughput>
      <Interval-min>{interval}</Interval-min>
      <Interval-max>{interval}</Interval-max>
    </SummaryOfOverallLatency>
  </PerformanceEstimates>
  <AreaEstimates>
    <Resources>
      <BRAM_18K>{bram}</BRAM_18K>
      <DSP>{dsp}</DSP>
      <FF>{ff}</FF>
      <LUT>{lut}</LUT>
      <URAM>0</URAM>
    </Resources>
    <AvailableResources><BRAM_18K>280</BRAM_18K><LUT>53200</LUT></AvailableResources>
  </AreaEstimates>
  <ModuleInformation>{modules}
  </ModuleInformation>
</profile>
"""


def report(graph: Dataflow, folder: Path, *, wrong_ii: str = "", loops: int = 1000, **values: object) -> Path:
    """Write the report of a synthesis that went well, but for what is given.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    folder : Path
    wrong_ii : str
        A node whose loop takes two cycles an iteration.
    loops : int
        Modules of only so many nodes are there.
    **values
        Of REPORT.
    """
    nodes = [n for n in graph.nodes if not isinstance(n.op, Fifo)]
    steps = {n.name: n.op.hls_steps(n.folding) for n in nodes}
    modules = [
        MODULE.format(
            name=f"{n.op.kind}_{n.name}_s",
            steps=steps[n.name] + 5,
            line=10 + i,
            loop=LOOP.format(line=10 + i, steps=steps[n.name], ii=1 + (n.name == wrong_ii)),
        )
        for i, n in enumerate(nodes[:loops])
    ]
    sound = {
        "period": "7.300",
        "interval": max(steps.values()) + 7,
        "latency": 2 * max(steps.values()),
        "lut": 1500,
        "ff": 2000,
        "bram": 3,
        "dsp": 0,
        "modules": "".join(modules),
    }
    path = folder / "sample_csynth.xml"
    path.write_text(REPORT.format(**{**sound, **values}))
    return path
