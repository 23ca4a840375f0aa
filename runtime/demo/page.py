"""The page of `amc-demo`: its components and events in gradio."""

# No `from __future__ import annotations`: gradio reads the annotation gr.Request of an event's function.

from pathlib import Path
from typing import Any

from ..errors import AmcNetError
from ..output.kinds import KINDS
from .offered_models import OfferedModels
from .options import DemoOptions
from .segmentation import CancelledError, Results, segment
from .visitors import Visitors

_DELETION_SECONDS = (600, 3600)  # interval and age, for files of a page whose browser did not report that it was closed

# Explanations need a network that is loaded for them.
_OUTPUTS = [name for name, kind in KINDS.items() if not kind.explains]


def make_page(models: OfferedModels, visitors: Visitors, options: DemoOptions) -> Any:
    """The page as gradio.Blocks."""
    import gradio as gr

    tracker = gr.Progress()

    def start(file: str | None, model: str, outputs: list[str], request: gr.Request, progress: Any = tracker) -> Any:
        if file is None:
            raise gr.Error("no video is selected. Fix: drop one into the field above", print_exception=False)

        def show(done: int, frames: int | None, seconds_left: float | None) -> None:
            left = "" if seconds_left is None else f", {seconds_left:.0f} s left"
            progress((done, frames), desc=f"frame {done}{left}", unit="frames")

        video = Path(file)
        try:
            visitor = visitors.get(request.session_hash)
            found = segment(video, model, outputs, visitor=visitor, models=models, options=options, progress=show)
        except CancelledError:
            return "cancelled", None, None
        except AmcNetError as error:
            raise gr.Error(str(error).replace(file, video.name), print_exception=False) from error
        files = list(map(str, found.files))
        shown = next((path for path in reversed(files) if path.endswith(".mp4")), None)
        return _summary(found).replace(file, video.name), shown, files

    def cancel(request: gr.Request) -> str:
        visitors.get(request.session_hash).cancelled.set()
        return "cancelled"

    def remember(file: str | None, request: gr.Request) -> None:
        if file is not None:
            visitors.get(request.session_hash).uploads.add(Path(file))

    def leave(request: gr.Request) -> None:
        visitors.leave(request.session_hash)

    with gr.Blocks(analytics_enabled=False, title="amcnet", delete_cache=_DELETION_SECONDS) as page:
        gr.Markdown(
            "# amcnet\nSegments the main moving object in every frame of a video. At most "
            f"{options.max_frames} frames and {options.max_mib} MiB. "
            "The files are deleted when this page is closed, or after an hour."
        )
        with gr.Row():
            with gr.Column():
                file = gr.File(label="video", file_types=["video", ".gif", ".webp", ".apng"], elem_id="video")
                model = gr.Dropdown(models.names, value=models.names[0], label="model", elem_id="model")
                outputs = gr.CheckboxGroup(_OUTPUTS, value=["masks", "overlay"], label="output", elem_id="output")
                with gr.Row():
                    begin = gr.Button("Segment", variant="primary", elem_id="segment")
                    stop = gr.Button("Cancel", elem_id="cancel")
            with gr.Column():
                status = gr.Markdown(elem_id="status", min_height=80)
                player = gr.Video(label="result", interactive=False, elem_id="player")
                files = gr.File(label="downloads", file_count="multiple", interactive=False, elem_id="downloads")
        file.upload(remember, file, None, queue=False, show_progress="hidden", api_visibility="private")
        run = begin.click(
            start,
            [file, model, outputs],
            [status, player, files],
            concurrency_limit=1,
            show_progress_on=status,
            api_visibility="private",
        )
        stop.click(cancel, None, status, queue=False, cancels=[run], api_visibility="private")
        page.unload(leave)
    page.queue(max_size=options.max_waiting)
    return page


def _summary(results: Results) -> str:
    report = results.report
    notes = "".join(f"\n- {note}" for note in report["notes"])
    return f"{report['frames']} frames in {report['seconds']:.1f} s, {report['fps']:.1f} frames/s{notes}"
