"""Train robomimic's behaviour cloning on a converted data set, and roll it out on stem frames.

stemob invert-dataset demos.hdf5 stem-demos.hdf5
python examples/train_robomimic.py stem-demos.hdf5 --images agentview_image

It needs robomimic (pip install robomimic). The checkpoints say what frames they were trained on;
their envs show them under stem_rollouts():

    with stem_rollouts():
        env, _ = robomimic.utils.file_utils.env_from_checkpoint("model.pth")
"""

import argparse

from robomimic.config import config_factory
from robomimic.scripts.train import train

from stemob_wrappers.integrations.robomimic import stem_rollouts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a robomimic file, converted")
    parser.add_argument("--images", nargs="+", default=["agentview_image"])
    parser.add_argument("--states", nargs="+", default=["robot0_eef_pos", "robot0_gripper_qpos"])
    parser.add_argument("--backbone", default="ResNet18Conv", help="robomimic's image encoder")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--steps", type=int, default=100, help="gradient steps of an epoch")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rollouts", type=int, default=10, help="every 10 epochs")
    parser.add_argument("--horizon", type=int, default=400)
    parser.add_argument("--out", default="robomimic-runs", help="folder of checkpoints")
    parser.add_argument("--device", default="cpu")
    settings = parser.parse_args()

    config = config_factory("bc")
    config.train.data = settings.data
    config.train.output_dir = settings.out
    config.train.num_epochs = settings.epochs
    config.train.batch_size = settings.batch
    config.experiment.epoch_every_n_steps = settings.steps
    config.experiment.save.every_n_epochs = min(10, settings.epochs)
    config.experiment.rollout.rate = min(10, settings.epochs)
    config.experiment.rollout.n = settings.rollouts
    config.experiment.rollout.horizon = settings.horizon
    config.experiment.render_video = False
    config.experiment.logging.terminal_output_to_txt = False
    config.experiment.logging.log_tb = False
    config.observation.modalities.obs.rgb = settings.images
    config.observation.modalities.obs.low_dim = settings.states
    config.observation.encoder.rgb.core_kwargs.backbone_class = settings.backbone
    config.lock()

    with stem_rollouts():
        train(config, device=settings.device)


if __name__ == "__main__":
    main()
