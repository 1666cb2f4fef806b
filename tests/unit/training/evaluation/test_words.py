"""What training commands print about a network, in words."""

from worker.training.evaluation.words import entry_in_words, figures_in_words


def test_figures_are_printed_in_words() -> None:
    figures = {"r2": 0.34, "gain_varies": 0.2, "aged": 0.1, "osie700": 0.25}
    line = "R2 0.340, G of what varies around the mean 0.200, R2 of photos turned old 0.100, R2 of osie700 0.250"
    assert figures_in_words(figures) == line
    entry = {"step": 600, "minutes": 3.25, "loss": 0.5, "r2_1": 0.2}
    assert entry_in_words(entry) == "step 600, 3.2 minutes, loss 0.5000, R2 with embedding 1 0.200"
