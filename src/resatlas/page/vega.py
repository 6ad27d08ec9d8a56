"""The script that draws the charts of a page."""

from functools import cache


@cache
def chart_script() -> str:
    """The JavaScript that draws the charts, about 0.9 MB; creating it takes a second."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", r"<\/script")
