"""What a training minimizes: the loss on labels, the balance of experts, a teacher's scores and attention."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..expert import BlockOutput
from ..network import BinaryNetwork
from ..recipe import StepConfig, TeacherConfig

__all__ = ["Teacher", "TrainingTask", "attention_distance", "balance", "calibrated_scale", "squared_hinge"]


def squared_hinge(scores: Tensor, target: Tensor) -> Tensor:
    """Mean of ``max(0, 1 - t*score)**2`` with ``t`` from -1 (share 0) to +1 (share 1).

    Parameters
    ----------
    scores : Tensor
        ``[B, classes]``.
    target : Tensor
        Share of each class, ``[B, classes]``.
    """
    return F.relu(1 - (2 * target - 1) * scores).square().mean()


def balance(network: BinaryNetwork) -> Tensor:
    """Loss that is smallest (1 for each layer) when all experts get equally many samples, summed over the layers."""
    total: Tensor | None = None
    for _, layer in network.experts():
        p = layer.gate.probabilities
        if p is not None:
            share = F.one_hot(p.argmax(1), p.shape[1]).float().mean(0)
            term = p.shape[1] * (share * p.mean(0)).sum()
            total = term if total is None else total + term
    return torch.zeros(()) if total is None else total


def _attention(x: Tensor) -> Tensor:
    """``q``: the mean square over channels of ``[B, C, H, W]`` as a vector of length 1, ``[B, H*W]``."""
    return F.normalize(x.float().square().mean(1).flatten(1), dim=1)


def attention_distance(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Sum over stages of ``mean((q_student - q_teacher)**2)``, ``q`` the normalized map of attention.

    Parameters
    ----------
    student, teacher : list of Tensor
        Outputs of the stages ``[B, C, H, W]``; the number of channels may differ.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), appendix A.5, after Real-to-Binary networks.
    """
    return torch.stack(
        [(_attention(s) - _attention(t)).square().mean() for s, t in zip(student, teacher, strict=True)]
    ).sum()


@contextmanager
def _listening(network: BinaryNetwork) -> Iterator[list[Tensor]]:
    """Collects what the network's stages put out, but for the first one."""
    heard: list[Tensor] = []

    def note(_module: nn.Module, _args: object, out: Tensor | BlockOutput) -> None:
        heard.append(out.pre if isinstance(out, BlockOutput) else out)

    handles = [stage.register_forward_hook(note) for stage in network.stage_modules()[1:]]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def calibrated_scale(scores: Tensor, labels: Tensor) -> float:
    """The factor on scores with which their cross-entropy is least: integer scores have no scale of their own.

    Parameters
    ----------
    scores : Tensor
        ``[N, classes]``.
    labels : Tensor
        ``[N]``.
    """
    scores, labels = scores.float().cpu(), labels.cpu()
    log_scale = torch.zeros((), requires_grad=True)
    unit = scores.std().clamp_min(1e-6)
    search = torch.optim.LBFGS([log_scale], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = F.cross_entropy(scores / unit * log_scale.exp(), labels)
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)
    return float(log_scale.detach().exp() / unit)


class Teacher:
    """A trained network whose scores and attention a student learns.

    Parameters
    ----------
    network : BinaryNetwork
        Stays in eval mode and gets no gradients.
    config : TeacherConfig
    scale : float
        Factor on its scores, see `calibrated_scale`.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), appendix A.5. The authors' divergence is divided by the number of
    classes; theirs with weight 1000 for 1000 classes is ours with weight 1.
    """

    def __init__(self, network: BinaryNetwork, config: TeacherConfig, scale: float) -> None:
        self.network, self.config, self.scale = network.eval().requires_grad_(False), config, scale

    def loss(self, pixels: Tensor, scores: Tensor, stages: list[Tensor]) -> Tensor:
        """The weighted sum of both distances.

        Parameters
        ----------
        pixels : Tensor
            ``[B, C, H, W]``, as the student sees them.
        scores : Tensor
            The student's, scaled, ``[B, classes]``.
        stages : list of Tensor
            Outputs of the student's stages but the first.
        """
        with torch.no_grad(), _listening(self.network) as own:
            answer = self.network(pixels).float() * self.scale
        t = self.config.temperature
        total = scores.new_zeros(())
        if self.config.scores:
            divergence = F.kl_div((scores / t).log_softmax(1), (answer / t).softmax(1), reduction="batchmean")
            total = total + self.config.scores * t * t * divergence
        if self.config.attention:
            total = total + self.config.attention * attention_distance(stages, own)
        return total


class TrainingTask(nn.Module):
    """Network and criterion: pixels and labels to the loss of a step.

    Cross-entropy of integer scores needs a scale; it is learned, and stays out of the network.

    Parameters
    ----------
    network : BinaryNetwork
    """

    def __init__(self, network: BinaryNetwork) -> None:
        super().__init__()
        self.network = network
        self.log_scale = nn.Parameter(torch.tensor(network.head_scale()).log())
        self.step: StepConfig | None = None
        self.teacher: Teacher | None = None

    def forward(self, pixels: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The loss on labels, and the whole loss with the balance of experts and the teacher's part.

        Parameters
        ----------
        pixels : Tensor
            ``[B, C, H, W]``.
        target : Tensor
            Share of each class, ``[B, classes]``.
        """
        step = self.step
        if step is None:
            raise RuntimeError("the task has no step yet: set its `step`")
        teacher = self.teacher
        if teacher is None:
            scores, stages = self.network(pixels), []
        else:
            with _listening(self.network) as stages:
                scores = self.network(pixels)
        scores = scores.float() * self.log_scale.exp()
        if step.loss == "squared_hinge":
            loss = squared_hinge(scores, target)
        else:
            loss = F.cross_entropy(scores, target, label_smoothing=step.label_smoothing)
        whole = loss
        if step.balance:
            whole = whole + step.balance * balance(self.network).to(loss.device)
        if teacher is not None:
            whole = whole + teacher.loss(pixels, scores, stages)
        return loss.detach(), whole
