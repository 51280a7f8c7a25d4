"""The loop over a recipe's steps, epochs and batches: killed at any moment, it still comes to the same end."""

import time
from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from ...errors import BitexpertError
from ..binary import use_real_weights
from ..checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from ..datasets import Dataset
from ..network import BinaryNetwork
from ..quant import clip_latent_weights, use_real_activations, use_surrogate
from ..recipe import Recipe, StepConfig, TeacherConfig
from ..whitening import Whitening
from .augment import Batches, pixels
from .losses import Teacher, TrainingTask, calibrated_scale
from .measure import count_right
from .progress import Bar
from .run_folder import Row, RunFolder
from .schedule import make_optimizer, make_schedule

__all__ = ["Trainer", "TrainingError"]

#: Seconds between two states that are kept within an epoch; one is kept at each epoch's end, too.
KEEP_SECONDS = 300.0
#: Batches over which the statistics of batch normalization are taken before a measurement.
SETTLE_BATCHES = 100
# Images on which gates are normalized and a teacher's scale is found.
_SOME = 2048


class TrainingError(BitexpertError):
    """A training that came to nothing."""


def _use(network: BinaryNetwork, step: StepConfig) -> None:
    """Set a network's switches as a step wants them."""
    use_real_weights(network, step.weights == "real")
    use_real_activations(network, step.activations == "real")
    use_surrogate(network, step.surrogate)
    for _, layer in network.experts():
        layer.gate.single = step.experts == "first"


class Trainer:
    """Trains one network by one recipe.

    Parameters
    ----------
    fabric : Fabric
        Launched.
    recipe : Recipe
    data : Dataset
    network : BinaryNetwork
        With its random weights; trained in place.
    folder : RunFolder
    """

    def __init__(
        self, fabric: Fabric, recipe: Recipe, data: Dataset, network: BinaryNetwork, folder: RunFolder
    ) -> None:
        self.fabric, self.recipe, self.data, self.folder = fabric, recipe, data, folder
        self.network = network
        self.task = TrainingTask(network)
        self.wrapped = fabric.setup_module(self.task)
        self.rows: list[Row] = []
        self._kept = time.monotonic()

    @property
    def batches(self) -> int:
        """Of all steps together."""
        return self._batches(0, 0).count * self.recipe.epochs

    def train(self, state: dict[str, Any] | None, bar: Bar) -> None:
        """All steps, or what is left of them.

        Parameters
        ----------
        state : dict, optional
            What `RunFolder.save_state` kept.
        bar : Bar

        Raises
        ------
        TrainingError
            If the loss is no longer finite.
        """
        first = 0
        per_epoch = self._batches(0, 0).count
        if state is not None:
            first, self.rows = state["step"], state["rows"]
            bar.advance(per_epoch * (sum(step.epochs for step in self.recipe.steps[:first]) + state["epoch"]))
            self.task.load_state_dict(state["task"])
            torch.set_rng_state(state["rng"])
        with self._curves() as curves:
            for number in range(first, len(self.recipe.steps)):
                begun = state if number == first and state is not None and state["optimizer"] is not None else None
                self._step(number, begun, bar, curves)
                if self.fabric.is_global_zero:
                    save_checkpoint(self.network, self.folder.step_file(number))
                self._keep(number + 1)

    def _curves(self) -> Any:
        """TensorBoard's event files; the other processes write none."""
        if not self.fabric.is_global_zero:
            return nullcontext()
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder.tensorboard), purge_step=len(self.rows) + 1)

    def _some(self) -> tuple[Tensor, Tensor]:
        """Some training images as they are, and their labels."""
        rows = np.random.default_rng(self.recipe.training.seed).permutation(len(self.data.train_y))[:_SOME]
        device = self.fabric.device
        return pixels(self.data.train_x[rows]).to(device), torch.from_numpy(self.data.train_y[rows]).to(device)

    def check_teachers(self) -> None:
        """See, before anything is trained, that all teachers from other runs can be used.

        Raises
        ------
        TrainingError
            Names the step whose teacher can't.
        """
        for step in self.recipe.steps:
            if step.teacher is not None and step.teacher.checkpoint is not None:
                self._other_run(step.name, step.teacher.checkpoint)

    def _other_run(self, step: str, checkpoint: str) -> BinaryNetwork:
        """The teacher of a step from another run."""
        place = f"teacher.checkpoint of step {step!r}"
        try:
            network = load_checkpoint(checkpoint)
        except CheckpointError as error:
            raise TrainingError(f"{place}: {error}") from error
        if not isinstance(network, BinaryNetwork) or len(network.config.class_names) != len(self.data.class_names):
            raise TrainingError(f"{place}: {checkpoint} has other classes than the data; give a network for these")
        shape = network.config.height, network.config.width, network.config.channels
        if shape != self.data.train_x.shape[1:]:
            raise TrainingError(
                f"{place}: {checkpoint} is for images (height, width, channels) of {shape}, but the data's are "
                f"{self.data.train_x.shape[1:]}"
            )
        return network

    def _teacher(self, step: StepConfig, config: TeacherConfig) -> Teacher:
        if config.checkpoint is not None:
            network = self._other_run(step.name, config.checkpoint)
        else:
            number = [earlier.name for earlier in self.recipe.steps].index(cast(str, config.step))
            network = cast(BinaryNetwork, load_checkpoint(self.folder.step_file(number)))
            _use(network, self.recipe.steps[number])
        network = network.to(self.fabric.device)
        images, labels = self._some()
        with torch.no_grad():
            scores = torch.cat([network(part) for part in images.split(256)])
        return Teacher(network, config, calibrated_scale(scores, labels))

    def _step(self, number: int, begun: dict[str, Any] | None, bar: Bar, curves: Any) -> None:
        step, training = self.recipe.steps[number], self.recipe.training
        _use(self.network, step)
        if begun is None:
            if step.expand:
                for _, layer in self.network.experts():
                    layer.copy_first_expert()
            if step.normalize_gates:
                self.network.normalize_gates(self._some()[0])
        self.task.step = step
        self.task.teacher = None if step.teacher is None else self._teacher(step, step.teacher)
        raw = make_optimizer(self.task, step.optimizer)
        optimizer: Any = self.fabric.setup_optimizers(raw)
        schedule = make_schedule(raw, step.schedule, step.epochs, self._batches(number, 0).count)
        if begun is not None:
            raw.load_state_dict(begun["optimizer"])
            schedule.load_state_dict(begun["schedule"])
            self.fabric.strategy.precision.load_state_dict(begun["precision"])
        for epoch in range(begun["epoch"] if begun else 0, step.epochs):
            batches = self._batches(number, epoch)
            resumed = begun if begun is not None and begun["epoch"] == epoch else None
            first = resumed["batch"] if resumed else 0
            total = torch.tensor(resumed["total"] if resumed else 0.0, dtype=torch.float64, device=self.fabric.device)
            for _, layer in self.network.experts():
                layer.gate.learns = step.gate_epochs is None or epoch < step.gate_epochs
            bar.say(f"{step.name}, epoch {epoch + 1} of {step.epochs}")
            bar.advance(first)
            self.wrapped.train()
            for batch, (images, labels) in enumerate(batches.loader(first, training.workers), first):
                total += self._batch(optimizer, images, labels, (number, epoch, batch))
                schedule.step()
                bar.advance()
                if time.monotonic() - self._kept > KEEP_SECONDS and batch + 1 < batches.count:
                    self._keep(number, epoch, batch + 1, total, raw, schedule)
            self._end_of_epoch(number, epoch, float(total) / batches.count, schedule.get_last_lr()[0], curves)
            self._keep(number, epoch + 1, 0, None, raw, schedule)

    def _batches(self, number: int, epoch: int) -> Batches:
        training, fabric = self.recipe.training, self.fabric
        key = (training.seed, number, epoch)
        data = self.data
        return Batches(
            data.train_x,
            data.train_y,
            training.augment,
            training.batch_size,
            key,
            fabric.global_rank,
            fabric.world_size,
        )

    def _batch(self, optimizer: Any, images: Tensor, labels: Tensor, place: tuple[int, int, int]) -> Tensor:
        """One update of the weights; gives the loss on labels."""
        step = cast(StepConfig, self.task.step)
        target = F.one_hot(labels, len(self.data.class_names)).float()
        if step.mixup:
            # a stream of its own beside that of the batch
            rng = np.random.default_rng((self.recipe.training.seed, *place, self.fabric.global_rank, 1))
            share, partner = float(rng.beta(step.mixup, step.mixup)), torch.from_numpy(rng.permutation(len(labels)))
            images = torch.lerp(images[partner], images, share)
            target = torch.lerp(target[partner], target, share)
        # experts grow apart, and gates that find them almost equal stop swapping them, as the learning rate falls
        falling = optimizer.param_groups[0]["lr"] / step.optimizer.learning_rate
        for _, layer in self.network.experts():
            layer.share = step.share * falling
        device = self.fabric.device
        loss, whole = self.wrapped(images.to(device), target.to(device))
        optimizer.zero_grad()
        self.fabric.backward(whole)
        if step.clip_gradient:
            self.fabric.clip_gradients(self.wrapped, optimizer, max_norm=step.clip_gradient, error_if_nonfinite=False)
        optimizer.step()
        clip_latent_weights(self.network)
        if step.balance_rate:
            for _, layer in self.network.experts():
                chosen = F.one_hot(cast(Tensor, layer.gate.last_index), layer.gate.experts).float().mean(0)
                everywhere = cast(Tensor, self.fabric.all_reduce(chosen, reduce_op="mean"))
                layer.gate.even_out(everywhere, falling * step.balance_rate)
        return loss.double()

    def _end_of_epoch(self, number: int, epoch: int, loss: float, rate: float, curves: Any) -> None:
        if not np.isfinite(loss):
            raise TrainingError(
                "the training has diverged (the loss isn't finite); lower optimizer.learning_rate of step "
                f"{self.recipe.steps[number].name!r}"
            )
        step, every = self.recipe.steps[number], self.recipe.training.evaluate_every
        accuracy: float | None = None
        measured = epoch + 1 == step.epochs or (epoch + 1) % every == 0
        if measured:
            self._settle(number, epoch)
        if measured and self.fabric.is_global_zero:
            accuracy = count_right(self.network, self.data.test_x, self.data.test_y) / len(self.data.test_y)
        # the others wait here for the one that measures
        accuracy = self.fabric.broadcast(accuracy)
        self.rows.append(
            {"step": step.name, "epoch": epoch + 1, "loss": loss, "accuracy": accuracy, "learning_rate": rate}
        )
        if self.fabric.is_global_zero:
            self.folder.write_metrics(self.rows)
            curves.add_scalar("loss/training", loss, len(self.rows))
            curves.add_scalar("learning_rate", rate, len(self.rows))
            if accuracy is not None:
                curves.add_scalar("accuracy/held-out", accuracy, len(self.rows))
            curves.flush()

    @torch.no_grad()
    def _settle(self, number: int, epoch: int) -> None:
        """Take the statistics of batch normalization anew, for the weights as they are.

        Some weights flip their signs to and fro up to the last batch, however small the learning rate: running averages
        lag behind them, by more than half a deviation in some channels (Nagel et al., Overcoming Oscillations in
        Quantization-Aware Training, ICML 2022, section 4).
        """
        layers = [layer for layer in self.network.modules() if isinstance(layer, (nn.BatchNorm2d, Whitening))]
        momenta = [layer.momentum for layer in layers]
        self.network.train()
        for i, (images, _) in enumerate(self._batches(number, epoch).loader(0, self.recipe.training.workers)):
            if i == SETTLE_BATCHES:
                break
            for layer in layers:
                layer.momentum = 1 / (i + 1)  # the mean of all batches so far
            self.network(images.to(self.fabric.device))
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            for name, statistic in layer.named_buffers():
                if name.startswith("running_"):
                    statistic.copy_(cast(Tensor, self.fabric.all_reduce(statistic, reduce_op="mean")))

    def _keep(
        self,
        step: int,
        epoch: int = 0,
        batch: int = 0,
        total: Tensor | None = None,
        optimizer: Any = None,
        schedule: Any = None,
    ) -> None:
        """Save where the run is. Only the first process writes; all processes hold the same values."""
        self._kept = time.monotonic()
        if not self.fabric.is_global_zero:
            return
        self.folder.save_state(
            {
                "step": step,
                "epoch": epoch,
                "batch": batch,
                "total": 0.0 if total is None else float(total),
                "rows": self.rows,
                "task": self.task.state_dict(),
                "optimizer": optimizer and optimizer.state_dict(),
                "schedule": schedule and schedule.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),
                "rng": torch.get_rng_state(),
            }
        )
